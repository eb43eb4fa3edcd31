// SPDX-License-Identifier: Apache-2.0
// Measures from outside the agent what interrupts a busy thread: for SECONDS it reads the clock without pause and sums the
// gaps that are too long for the loop and too short for a change of threads. Prints "gaps <count> stolen_ns <sum> cpu_ns <own>".
#include <cstdio>
#include <cstdlib>

#include "tests/end_to_end/programs/clocks.h"

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 1;
  constexpr std::uint64_t kLoopNs = 400, kSwitchNs = 60000;
  const std::uint64_t begin = programs::wall_ns(), end = begin + static_cast<std::uint64_t>(seconds * 1e9);
  std::uint64_t gaps = 0, stolen = 0;
  for (std::uint64_t last = begin; last < end;) {
    const std::uint64_t now = programs::wall_ns(), gap = now - last;
    if (gap > kLoopNs && gap < kSwitchNs) {
      ++gaps;
      stolen += gap;
    }
    last = now;
  }
  std::printf("gaps %llu stolen_ns %llu cpu_ns %llu\n", static_cast<unsigned long long>(gaps), static_cast<unsigned long long>(stolen),
              static_cast<unsigned long long>(programs::thread_cpu_ns()));
  return 0;
}
