// SPDX-License-Identifier: Apache-2.0
// A plugin in C++ for local_plugin.c: every form of operator new and delete, an allocation that throws, and a block freed at the end.
// With PLUGIN_OPERATORS it has operators of its own, whose blocks no other can free.
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace {

struct alignas(256) Wide {
  char bytes[256];
};

long thrown(std::size_t bytes) {
  try {
    std::unique_ptr<char[]> block(new char[bytes]);
    return block[0];
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

// Its destructor ends in a jump to operator delete, which then seems to be called from the C library.
struct KeptToTheEnd {
  int* block = new int(1);
  ~KeptToTheEnd() { delete block; }
} kept_to_the_end;

}  // namespace

#if defined(PLUGIN_OPERATORS)
__attribute__((visibility("default"))) void* operator new(std::size_t bytes) {
  auto* block = bytes < PTRDIFF_MAX / 2 ? static_cast<char*>(std::malloc(bytes + 64)) : nullptr;
  if (!block) throw std::bad_alloc();
  return block + 64;
}
__attribute__((visibility("default"))) void operator delete(void* block) noexcept {
  if (block) std::free(static_cast<char*>(block) - 64);
}
__attribute__((visibility("default"))) void operator delete(void* block, std::size_t) noexcept { operator delete(block); }
#endif

extern "C" __attribute__((visibility("default"))) long plugin_work() {
  std::map<int, std::string> texts;
  for (int i = 0; i < 1000; ++i) texts[i] = std::string(static_cast<std::size_t>(i), 'x');
  long sum = 0;
  for (const auto& [key, text] : texts) sum += key + static_cast<long>(text.size());
  std::unique_ptr<Wide> wide(new Wide);
  std::unique_ptr<Wide[]> several(new Wide[3]);
  delete new (std::nothrow) int(1);
  delete[] new (std::nothrow) int[10];
  volatile std::size_t too_much = static_cast<std::size_t>(1) << 60;
  return sum + thrown(too_much) + static_cast<long>(reinterpret_cast<std::size_t>(wide.get()) % alignof(Wide));
}
