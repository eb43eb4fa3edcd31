// SPDX-License-Identifier: Apache-2.0
// Starts COUNT threads that use MICROSECONDS of CPU each, WIDTH at a time, with all signals blocked on request, and prints
// the sum of their CPU clocks: "threads <count> cpu_ns <sum>".
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "tests/end_to_end/programs/clocks.h"

namespace {

std::atomic<std::uint64_t> total_ns{0};
std::uint64_t wanted_ns = 0;
bool block_signals = false;

void* work(void*) {
  if (block_signals) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
  }
  programs::burn_cpu_until(wanted_ns);
  total_ns += programs::thread_cpu_ns();
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 1000;
  wanted_ns = 1000u * static_cast<std::uint64_t>(argc > 2 ? std::atoll(argv[2]) : 1000);
  const int width = argc > 3 ? std::atoi(argv[3]) : 4;
  block_signals = argc > 4 && std::strcmp(argv[4], "blocked") == 0;
  for (int started = 0; started < count;) {
    std::vector<pthread_t> threads;
    for (; started < count && static_cast<int>(threads.size()) < width; ++started) {
      pthread_t thread;
      if (pthread_create(&thread, nullptr, work, nullptr) != 0) return 1;
      threads.push_back(thread);
    }
    for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  }
  std::printf("threads %d cpu_ns %llu\n", count, static_cast<unsigned long long>(total_ns.load()));
  return 0;
}
