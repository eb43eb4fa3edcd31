// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/ticks.h"

#include "agent/capture/dormant.h"

namespace tailback::capture {

TAILBACK_DORMANT_DATA constinit TickClock tick_clock;

namespace {
constexpr std::uint64_t kFirstEstimateNs = 20'000;  // reading two clocks takes 30 ns: right to 0.2 %
}  // namespace

void TickClock::init(bool counter_keeps_time) {
  counter_ = counter_keeps_time;
  scale_.store(std::uint64_t{1} << 32);
  first_ = anchors_[0] = anchors_[1] = {now(), monotonic_ns()};
  if (!counter_) return;
  while (monotonic_ns() - first_.ns < kFirstEstimateNs) {
  }
  adjust();
}

void TickClock::adjust() {
  const Anchor anchor{now(), monotonic_ns()};
  if (counter_ && anchor.ticks > first_.ticks) {
    constexpr double kOne = 4294967296.0;  // 2^32
    const double rate = static_cast<double>(anchor.ns - first_.ns) / static_cast<double>(anchor.ticks - first_.ticks);
    scale_.store(static_cast<std::uint64_t>(rate * kOne), std::memory_order_relaxed);
  }
  const std::uint32_t next = latest_.load(std::memory_order_relaxed) ^ 1;
  anchors_[next] = anchor;
  latest_.store(next, std::memory_order_release);
}

std::uint64_t TickClock::monotonic_at(std::uint64_t ticks) const {
  const Anchor& anchor = anchors_[latest_.load(std::memory_order_acquire)];
  return ticks >= anchor.ticks ? anchor.ns + to_ns(ticks - anchor.ticks) : anchor.ns - to_ns(anchor.ticks - ticks);
}

}  // namespace tailback::capture
