// SPDX-License-Identifier: Apache-2.0
// Keeps a tree in memory that the Boehm collector manages, and allocates what is garbage at once, for three seconds; prints the
// milliseconds that the collector says it took. 77 where there is no libgc.
#include <dlfcn.h>

#include <chrono>
#include <cstddef>
#include <cstdio>

namespace {

constexpr int kSkipped = 77;
constexpr unsigned kDepth = 20;

struct Node {
  Node* left;
  Node* right;
};

void* (*allocate)(std::size_t) = nullptr;
Node* tree = nullptr;  // what the collector starts from

Node* grow(unsigned depth) {
  auto* node = static_cast<Node*>(allocate(sizeof(Node)));
  node->left = depth ? grow(depth - 1) : nullptr;
  node->right = depth ? grow(depth - 1) : nullptr;
  return node;
}

template <class Function>
Function find(void* library, const char* name) {
  return reinterpret_cast<Function>(dlsym(library, name));
}

}  // namespace

int main() {
  void* library = dlopen("libgc.so.1", RTLD_NOW);
  if (!library) return kSkipped;
  const auto measure = find<void (*)()>(library, "GC_start_performance_measurement");
  const auto total = find<unsigned long (*)()>(library, "GC_get_full_gc_total_time");
  const auto init = find<void (*)()>(library, "GC_init");
  allocate = find<void* (*)(std::size_t)>(library, "GC_malloc");
  if (!init || !allocate || !measure || !total) return kSkipped;
  init();
  measure();
  tree = grow(kDepth);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(3);
  volatile std::size_t sum = 0;
  while (std::chrono::steady_clock::now() < end) {
    for (int i = 0; i < 10'000; ++i) {
      auto* node = static_cast<Node*>(allocate(64));
      node->left = tree;
      for (unsigned step = 0; step < 20; ++step) sum = sum * 31 + step;
    }
  }
  std::printf("%lu\n", total());
  return 0;
}
