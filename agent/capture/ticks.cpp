// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/ticks.h"

#include "agent/capture/dormant.h"

namespace tailback::capture {

TAILBACK_DORMANT_DATA constinit TickClock tick_clock;

namespace {
constexpr std::uint64_t kFirstEstimateNs = 20'000;  // reading two clocks takes 30 ns: right to 0.2 %
}  // namespace

// The closest of three readings: the first one of a process meets page faults, any may be interrupted.
TickClock::Anchor TickClock::read_both() const {
  Anchor closest{};
  std::uint64_t least = ~std::uint64_t{0};
  for (int i = 0; i < 3; ++i) {
    const std::uint64_t before = now(), ns = monotonic_ns(), after = now();
    if (after - before >= least) continue;
    least = after - before;
    closest = {before + least / 2, ns};
  }
  return closest;
}

void TickClock::init(bool counter_keeps_time) {
  counter_ = counter_keeps_time;
  scale_.store(std::uint64_t{1} << 32);
  first_ = anchors_[0] = anchors_[1] = read_both();
  if (!counter_) return;
  while (monotonic_ns() - first_.ns < kFirstEstimateNs) {
  }
  adjust();
}

void TickClock::adjust() {
  const Anchor anchor = read_both();
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
