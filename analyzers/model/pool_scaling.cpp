// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/pool_scaling.h"

#include <algorithm>
#include <map>
#include <vector>

#include "analyzers/model/pools.h"

namespace tailback::analyzers {

namespace {

constexpr double kMostOfBusy = 0.5;

// What is outside the process, or a file: threads that wait for each other are another matter.
bool serves_others(WaitCause cause) { return cause == WaitCause::network || cause == WaitCause::disk || cause == WaitCause::pipe; }

struct Requests { double done = 0, seconds = 0; };

// Threads that end tell of their last interval each at a moment of its own: the pool's bins are common to all.
std::vector<Requests> requests_of(const Recording& recording, const Pool& pool, trace::Call call) {
  std::vector<Requests> bins(pool.bins.size());
  if (bins.empty()) return bins;
  const double begin = pool.bins.front().start, length = pool.bins.front().length;
  for (const CallSpanRow& row : recording.calls.spans) {
    if (row.key.call != call || row.span_ms == 0 || !pool.has_member(row.key.thread)) continue;
    const double to = (row.end_ms * 1e-3 - begin) / length, from = std::max(0.0, to - row.span_ms * 1e-3 / length);
    for (std::size_t i = static_cast<std::size_t>(from); i < bins.size() && static_cast<double>(i) < to; ++i) {
      const double at = static_cast<double>(i), part = (std::min(to, at + 1) - std::max(from, at)) / (to - from);
      bins[i].done += part * static_cast<double>(row.calls), bins[i].seconds += part * static_cast<double>(row.ns) * 1e-9;
    }
  }
  return bins;
}

// Less than one request at a time counts as one that is asked without a break.
std::vector<ScalabilityPoint> points_of(const Recording& recording, const Pool& pool, trace::Call call) {
  std::vector<ScalabilityPoint> points;
  for (const Requests& requests : requests_of(recording, pool, call)) {
    if (requests.seconds <= 0) continue;
    const double under_way = requests.seconds / pool.bins.front().length;
    points.push_back({std::max(1.0, under_way), requests.done / requests.seconds * std::max(1.0, under_way)});
  }
  return points;
}

}  // namespace

PoolScaling scaling_of(const Recording& recording, const Pool& pool) {
  std::map<trace::Call, double> seconds;
  for (const PoolPlace& place : pool.obstacles)
    if (serves_others(place.cause)) seconds[place.call] += place.seconds;
  const auto most = std::max_element(seconds.begin(), seconds.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most == seconds.end() || most->second < kMostOfBusy * pool.busy) return {.law = {.missing = "its tasks hardly wait for anything outside the process"}};
  return {.law = fit_scalability(points_of(recording, pool, most->first)), .call = most->first, .share = most->second / pool.busy};
}

double stretched_by(const Pool& pool, double threads) {
  const PoolScaling& scaling = pool.scaling;
  if (!scaling.law.missing.empty()) return 1;
  const double before = std::max(1.0, static_cast<double>(pool.size()) * scaling.share), after = std::max(1.0, threads * scaling.share);
  const double each = after / scaling.law.throughput(after) / (before / scaling.law.throughput(before));
  return 1 - scaling.share + scaling.share * each;
}

}  // namespace tailback::analyzers
