// SPDX-License-Identifier: Apache-2.0
// Uses 0.3 s of CPU, then ends in the way that its argument names, with status 3 where it can choose.
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "tests/end_to_end/programs/clocks.h"

namespace {

void* work(void*) {
  programs::burn_cpu_until(programs::thread_cpu_ns() + 300000000);
  return nullptr;
}

void* wait_forever(void*) {
  for (;;) pause();
}

// Deeper than any stack; the depth is no constant, so no compiler knows.
__attribute__((noinline)) int overflow(int depth) {
  volatile char block[4096];
  block[0] = static_cast<char>(depth);
  return depth == 0 ? 0 : overflow(depth - 1) + block[0];
}

void leave(int) { _exit(4); }

void end(const char* how) {
  pthread_t thread;
  if (std::strcmp(how, "exit") == 0) std::exit(3);
  if (std::strcmp(how, "_exit") == 0) _exit(3);
  if (std::strcmp(how, "quick_exit") == 0) std::quick_exit(3);
  if (std::strcmp(how, "abort") == 0) std::abort();
  if (std::strcmp(how, "throw") == 0) throw std::runtime_error("on purpose");
  if (std::strcmp(how, "fault") == 0) *static_cast<volatile int*>(nullptr) = 1;
  if (std::strcmp(how, "stack_overflow") == 0) std::_Exit(overflow(1 << 30));
  if (std::strcmp(how, "return_with_threads") == 0) pthread_create(&thread, nullptr, wait_forever, nullptr);
  if (std::strcmp(how, "main_thread_ends_first") == 0) {
    pthread_create(&thread, nullptr, work, nullptr);
    pthread_exit(nullptr);
  }
  if (std::strcmp(how, "exit_in_handler") == 0) {
    signal(SIGALRM, leave);
    alarm(1);
    for (std::uint64_t value = 1;;) value = programs::step(value);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  work(nullptr);
  end(argv[1]);
  return 3;
}
