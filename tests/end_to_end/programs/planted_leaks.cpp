// SPDX-License-Identifier: Apache-2.0
// Loses blocks in known ways and keeps others in every place that counts as a reference, then ends by exit(). Each site asks for a size
// of its own. The same source is built with LeakSanitizer, which is the judge. usage: planted_leaks [seconds that a thread runs on [mapping]]
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

struct Node {
  Node* next;
  std::uint64_t payload[7];
};

// No compiler may know that nobody looks at a block.
template <class T>
T* seen(T* pointer) {
  asm volatile("" : "+r"(pointer) : : "memory");
  return pointer;
}

Node* volatile list;
void* volatile table[8];
char* volatile inside;
std::uint64_t* volatile last_word;
__thread void* volatile of_main;
__thread void* volatile of_thread;

#define SITE __attribute__((noinline)) void

SITE lose_blocks() {
  for (int i = 0; i < 100; ++i) std::memset(seen(std::malloc(200)), 1, 200);
}
SITE lose_lists() {
  for (int k = 0; k < 10; ++k) {
    Node* head = nullptr;
    for (int i = 0; i < 50; ++i) {
      auto* node = static_cast<Node*>(seen(std::malloc(sizeof(Node))));
      node->next = head;
      head = node;
    }
    seen(head);
  }
}
SITE lose_ring() {
  auto* first = static_cast<Node*>(seen(std::malloc(80)));
  auto* second = static_cast<Node*>(seen(std::malloc(80)));
  first->next = second;
  second->next = first;
}
SITE lose_large() { std::memset(seen(std::malloc(3 << 20)), 1, 3 << 20); }
SITE lose_by_realloc() { seen(std::realloc(seen(std::malloc(1000)), 5000)); }
SITE lose_aligned() {
  void* block = nullptr;
  if (posix_memalign(&block, 256, 700) == 0) std::memset(seen(block), 0, 700);
}
SITE lose_empty() { seen(std::malloc(0)); }
SITE lose_new() { seen(new std::uint64_t[37]); }
SITE keep_list() {
  for (int i = 0; i < 1000; ++i) {
    auto* node = static_cast<Node*>(seen(std::malloc(72)));
    node->next = list;
    list = node;
  }
}
SITE keep_in_table() { table[3] = seen(std::malloc(301)); }
SITE keep_inside() { inside = static_cast<char*>(seen(std::malloc(404))) + 100; }
SITE keep_last_word() { last_word = static_cast<std::uint64_t*>(seen(std::malloc(24))) + 2; }
SITE keep_in_thread_local() { of_main = seen(std::malloc(333)); }
SITE keep_in_mapping() {
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  *static_cast<void**>(page) = seen(std::malloc(345));
}

SITE free_some() {  // free blocks full of addresses of lost ones: they are no references
  void* blocks[64];
  for (auto& block : blocks) block = seen(std::malloc(160));
  for (void* block : blocks)
    for (int i = 0; i < 20; ++i) static_cast<void**>(block)[i] = blocks[i];
  for (int i = 0; i < 64; i += 2) std::free(blocks[i]);
  for (int i = 1; i < 64; i += 2) seen(blocks[i]);
  std::memset(blocks, 0, sizeof blocks);
  seen(&blocks[0]);
}

// What the calls above left on the stack.
SITE wipe_stack() {
  char room[16384];
  std::memset(room, 0, sizeof room);
  seen(&room[0]);
}

volatile bool thread_is_ready;

void* run_on(void* argument) {
  void* own = seen(std::malloc(606));
  of_thread = seen(std::malloc(607));
  thread_is_ready = true;
  for (unsigned left = *static_cast<unsigned*>(argument); left > 0;) left = sleep(left);
  seen(own);
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  static unsigned seconds = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 0;
  void* on_stack = seen(std::malloc(555));
  lose_blocks();
  lose_lists();
  lose_ring();
  lose_large();
  lose_by_realloc();
  lose_aligned();
  lose_empty();
  lose_new();
  keep_list();
  keep_in_table();
  keep_inside();
  keep_last_word();
  keep_in_thread_local();
  free_some();
  if (argc > 2) keep_in_mapping();  // LeakSanitizer does not look there
  wipe_stack();
  pthread_t thread;
  if (seconds && pthread_create(&thread, nullptr, run_on, &seconds) == 0)
    while (!thread_is_ready) usleep(1000);
  std::puts("done");
  std::fflush(stdout);
  seen(&on_stack);
  std::exit(3);
}
