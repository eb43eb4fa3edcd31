// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/pool_bursts.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "analyzers/model/waits.h"

namespace tailback::analyzers {

std::vector<PoolBurst> bursts_of(const Recording& recording, const std::set<std::uint64_t>& queues) {
  constexpr double kSmallest = 8, kMostInInterval = 64;  // tasks; bursts
  struct Brought { double from = 0, to = 0, tasks = 0, in_burst = 0; };
  std::map<std::tuple<ThreadId, std::uint64_t, std::uint32_t>, Brought> intervals;  // heard or not, a wake brings a task
  for (const CallSpanRow& row : recording.calls.spans) {
    if (!is_wake(row.key.call) || !queues.contains(row.key.object)) continue;
    Brought& brought = intervals[{row.key.thread, row.key.object, row.end_ms}];
    brought.to = row.end_ms * 1e-3, brought.from = brought.to - row.span_ms * 1e-3;
    brought.tasks += static_cast<double>(row.calls), brought.in_burst += static_cast<double>(row.in_burst);
  }
  std::vector<PoolBurst> bursts;
  for (const auto& [key, brought] : intervals) {
    const double count = std::max(1.0, brought.tasks - brought.in_burst);
    if (count > kMostInInterval || brought.tasks < kSmallest * count) continue;
    for (double i = 0.5; i < count; ++i) bursts.push_back({brought.from + i / count * (brought.to - brought.from), brought.tasks / count});
  }
  std::sort(bursts.begin(), bursts.end(), [](const PoolBurst& a, const PoolBurst& b) { return a.at < b.at; });
  return bursts;
}

}  // namespace tailback::analyzers
