// SPDX-License-Identifier: Apache-2.0
// Ends threads in every way there is, on the smallest stacks, with destructors that still use threads' own data, COUNT times,
// and prints the sums that must come out.
#include <limits.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "tests/end_to_end/programs/clocks.h"

namespace {

pthread_key_t key;
std::atomic<int> returned{0}, exited{0}, cancelled{0}, unwound{0}, destructor_rounds{0}, thread_locals{0};

struct CountsItsEnd {
  std::atomic<int>& count;
  ~CountsItsEnd() { ++count; }
};
thread_local CountsItsEnd local{thread_locals};

void again_and_again(void* value) {
  void* volatile block = std::malloc(200);
  std::free(block);
  ++destructor_rounds;
  const auto left = reinterpret_cast<std::uintptr_t>(value);
  if (left > 1) pthread_setspecific(key, reinterpret_cast<void*>(left - 1));
}

void use_cpu() {
  (void)&local.count;
  pthread_setspecific(key, reinterpret_cast<void*>(std::uintptr_t{4}));
  programs::burn_cpu_until(programs::thread_cpu_ns() + 1500000);
}

void* returns(void*) {
  use_cpu();
  ++returned;
  return nullptr;
}

void* exits(void*) {
  const CountsItsEnd end{exited};
  use_cpu();
  pthread_exit(nullptr);
}

void* is_cancelled(void*) {
  const CountsItsEnd end{cancelled};
  use_cpu();
  for (;;) pause();
}

// No destructors here: C++ has none that may run between any two instructions.
void* is_cancelled_anywhere(void*) {
  use_cpu();
  ++cancelled;
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
  for (std::uint64_t value = 1;;) value = programs::step(value);
}

int throws(int depth) {
  const CountsItsEnd end{unwound};
  if (depth == 0) throw std::runtime_error("deep");
  return throws(depth - 1) + 1;
}

void* catches(void*) {
  use_cpu();
  try {
    throws(20);
  } catch (const std::runtime_error&) {
    ++returned;
  }
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 20;
  pthread_key_create(&key, again_and_again);
  pthread_attr_t smallest, larger;
  pthread_attr_init(&smallest);
  pthread_attr_init(&larger);
  pthread_attr_setstacksize(&smallest, static_cast<std::size_t>(PTHREAD_STACK_MIN));
  pthread_attr_setstacksize(&larger, 128 * 1024);
  for (int round = 0; round < count; ++round) {
    pthread_t threads[7];
    pthread_create(&threads[0], &smallest, returns, nullptr);
    pthread_create(&threads[1], &larger, exits, nullptr);
    pthread_create(&threads[2], nullptr, is_cancelled, nullptr);
    pthread_create(&threads[3], &larger, is_cancelled_anywhere, nullptr);
    pthread_create(&threads[4], nullptr, catches, nullptr);
    pthread_create(&threads[5], &larger, catches, nullptr);
    pthread_create(&threads[6], &smallest, returns, nullptr);
    usleep(3000);
    pthread_cancel(threads[2]);
    pthread_cancel(threads[3]);
    for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  }
  std::printf("returned %d exited %d cancelled %d unwound %d destructor_rounds %d thread_locals %d\n", returned.load(), exited.load(), cancelled.load(),
              unwound.load(), destructor_rounds.load(), thread_locals.load());
  return 0;
}
