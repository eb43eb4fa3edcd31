// SPDX-License-Identifier: Apache-2.0
// What stops the whole process.
#include <algorithm>

#include "analyzers/model/pause_finder.h"

namespace tailback::analyzers {

namespace {

constexpr double kMostOf = 0.5, kHardlyAny = 0.1;

PauseCause cause_of_standstill(const PauseSeenRow& row) {
  const double length = static_cast<double>(row.end - row.begin);
  const auto most = [&](std::uint64_t ns) { return static_cast<double>(ns) >= kMostOf * length; };
  if (row.source == 1) return PauseCause::stopped;
  if (most(row.throttled_ns)) return PauseCause::throttled;
  const bool ran = static_cast<double>(row.process_cpu_ns) > kHardlyAny * length;
  if (row.stops && !ran) return PauseCause::stopped;
  if (most(row.run_delay_ns) || most(row.steal_ns) || ran) return PauseCause::cpu_starvation;
  return PauseCause::unknown;
}

}  // namespace

void PauseFinder::standstills() {
  std::vector<PauseSeenRow> seen = recording_.pauses.seen;
  std::stable_sort(seen.begin(), seen.end(), [](const auto& a, const auto& b) { return std::pair(b.source, a.begin) < std::pair(a.source, b.begin); });
  std::vector<PauseSeenRow> told;  // what the launcher saw is exact and comes first
  for (const PauseSeenRow& row : seen) {
    const bool known = std::any_of(told.begin(), told.end(), [&](const PauseSeenRow& other) { return row.begin < other.end && other.begin < row.end; });
    if (known) continue;
    told.push_back(row);
    const double seconds = seconds_of(row.end - row.begin);
    const PauseCause cause = cause_of_standstill(row);
    if (cause == PauseCause::unknown && seconds < 5 * kShortest) continue;  // a virtual machine's own hiccup
    add(kind(cause), {seconds_of(row.begin), seconds, 0, 0, 0});
  }
}

// The cgroup's own count, where the quota stopped the process more often than the agent's thread could see.
void PauseFinder::throttling() {
  const auto& states = recording_.cgroup;
  if (states.size() < 2 || states.back().cpu_quota_ns == 0) return;
  const auto grown = [](std::uint64_t from, std::uint64_t to) { return to > from ? to - from : 0; };
  const std::uint64_t periods = grown(states.front().throttled_periods, states.back().throttled_periods);
  double seconds = 0;
  for (std::size_t i = 1; i < states.size(); ++i) {  // counted for each CPU: no more than the time that passed
    const double span = seconds_of(grown(states[i - 1].t, states[i].t));
    seconds += std::min(span, seconds_of(grown(states[i - 1].throttled_ns, states[i].throttled_ns)));
  }
  if (periods == 0) return;
  PauseKind& throttled = kind(PauseCause::throttled);
  throttled.count = static_cast<double>(periods);
  throttled.seconds = seconds;
}

}  // namespace tailback::analyzers
