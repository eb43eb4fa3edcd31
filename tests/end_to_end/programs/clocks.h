// SPDX-License-Identifier: Apache-2.0
// Clocks and work for the test programs. Busy loops run until the thread's own CPU clock says so.
#pragma once
#include <time.h>

#include <cstdint>

namespace programs {

inline std::uint64_t clock_ns(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000000000u + static_cast<std::uint64_t>(now.tv_nsec);
}
inline std::uint64_t thread_cpu_ns() { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }
inline std::uint64_t wall_ns() { return clock_ns(CLOCK_MONOTONIC); }

// A step of work of some nanoseconds that no optimiser removes.
inline std::uint64_t step(std::uint64_t value) {
  for (int i = 0; i < 200; ++i) value = value * 6364136223846793005u + 1442695040888963407u;
  __asm__ volatile("" : "+r"(value));
  return value;
}

inline std::uint64_t burn_cpu_until(std::uint64_t thread_ns) {
  std::uint64_t value = 1;
  while (thread_cpu_ns() < thread_ns) value = step(value);
  return value;
}

}  // namespace programs
