// SPDX-License-Identifier: Apache-2.0
// Who may drain and write: one at a time, and nobody ever waits for long. A signal handler or a hook only tries; the helper
// and the end of the process may spin for a bounded time. Signal-safe.
#pragma once
#include <atomic>
#include <cstdint>

#include "agent/capture/clock.h"
#include "agent/capture/syscalls.h"

namespace tailback::engine {

class DrainLock {
 public:
  bool try_lock() { return held_.exchange(1, std::memory_order_acquire) == 0; }
  bool lock_within(std::uint64_t ns) {
    if (try_lock()) return true;
    const std::uint64_t end = capture::monotonic_ns() + ns;
    while (!try_lock()) {
      if (capture::monotonic_ns() > end) return false;
      capture::sys::call(__NR_sched_yield);
    }
    return true;
  }
  void unlock() { held_.store(0, std::memory_order_release); }
  void reset() { unlock(); }  // in a forked child, whose parent's holder does not exist

 private:
  std::atomic<std::uint32_t> held_{0};
};

}  // namespace tailback::engine
