// SPDX-License-Identifier: Apache-2.0
// Works on THREADS threads until killed or for SECONDS, and writes about every 5 ms to stdout how far it is:
// "<CLOCK_MONOTONIC ns> <CPU ns of the process>". Whoever kills it knows from the last line what must not be lost.
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "tests/end_to_end/programs/clocks.h"

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  const double seconds = argc > 2 ? std::atof(argv[2]) : 30;
  const std::uint64_t end = programs::wall_ns() + static_cast<std::uint64_t>(seconds * 1e9);
  std::atomic<bool> stop{false};
  std::vector<std::thread> workers;
  for (int i = 1; i < threads; ++i) {
    workers.emplace_back([&stop] {
      std::uint64_t value = 1;
      while (!stop.load(std::memory_order_relaxed)) value = programs::step(value);
    });
  }
  for (std::uint64_t now = programs::wall_ns(); now < end; now = programs::wall_ns()) {
    char line[64];
    const int size = std::snprintf(line, sizeof line, "%llu %llu\n", static_cast<unsigned long long>(now),
                                   static_cast<unsigned long long>(programs::clock_ns(CLOCK_PROCESS_CPUTIME_ID)));
    if (write(STDOUT_FILENO, line, static_cast<std::size_t>(size)) != size) break;
    programs::burn_cpu_until(programs::thread_cpu_ns() + 5000000);
  }
  stop = true;
  for (std::thread& worker : workers) worker.join();
  return 0;
}
