// SPDX-License-Identifier: Apache-2.0
// Time stamps of hooks: the processor's counter where the kernel itself keeps time by it (9 ns, and most of that overlaps with the
// call measured), else CLOCK_MONOTONIC. Signal-safe, no system call.
#pragma once
#include <atomic>
#include <cstdint>

#include "agent/capture/clock.h"

namespace tailback::capture {

class TickClock {
 public:
  // `counter_keeps_time`: the kernel's clocksource is this processor's counter. Takes some 25 us for a first estimate of its rate.
  void init(bool counter_keeps_time);
  // Reads both clocks together, which makes the rate exact and keeps times from drifting apart; now and then, from one thread.
  void adjust();

  std::uint64_t now() const {
    if (counter_) [[likely]] return __builtin_ia32_rdtsc();
    return monotonic_ns();
  }
  std::uint64_t to_ns(std::uint64_t ticks) const {
    return static_cast<std::uint64_t>(static_cast<unsigned __int128>(ticks) * scale_.load(std::memory_order_relaxed) >> 32);
  }
  std::uint64_t from_ns(std::uint64_t ns) const {
    return static_cast<std::uint64_t>(static_cast<double>(ns) * 4294967296.0 / static_cast<double>(scale_.load(std::memory_order_relaxed)));
  }
  // CLOCK_MONOTONIC at a time stamp of the recent past.
  std::uint64_t monotonic_at(std::uint64_t ticks) const;

 private:
  struct Anchor {
    std::uint64_t ticks, ns;
  };
  Anchor read_both() const;
  bool counter_ = false;
  std::atomic<std::uint64_t> scale_{std::uint64_t{1} << 32};  // nanoseconds of a tick, 32 binary places
  std::atomic<std::uint32_t> latest_{0};
  Anchor first_{}, anchors_[2] = {};
};

extern TickClock tick_clock;

}  // namespace tailback::capture
