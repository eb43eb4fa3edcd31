// SPDX-License-Identifier: Apache-2.0
// Event loops as rows of the report.
#include "analyzers/model/own_frame.h"
#include "analyzers/model/thread_load.h"
#include "analyzers/summary.h"

namespace tailback::analyzers {

namespace {

constexpr std::size_t kMostRows = 300;

double seconds(std::uint64_t ns) { return static_cast<double>(ns) * 1e-9; }

EventLoopRow row_of(const Model& model, const EventLoop& loop) {
  const LoopRow& sums = *loop.row;
  const TurnLengths lengths(loop);
  EventLoopRow row;
  row.thread = sums.thread;
  row.thread_name = thread_label(model, sums.thread);
  row.call = trace::name_of(loop.call);
  if (loop.wait) row.culprit = own_frame(model, loop.wait);
  row.turns = sums.turns;
  row.seconds = loop.alive, row.busy_seconds = loop.busy, row.waiting_seconds = loop.waiting;
  row.ready_each = loop.ready_each();
  row.turn_p50_seconds = lengths.quantile(0.50), row.turn_p99_seconds = lengths.quantile(0.99), row.turn_longest_seconds = seconds(sums.longest_ns);
  row.lag_mean_seconds = lengths.mean_lag(), row.lag_p99_seconds = lengths.lag_quantile(0.99);
  row.late_timers = sums.late;
  if (sums.late) row.late_p99_seconds = sums.lateness.duration_quantile(0.99) * 1e-9;
  row.late_longest_seconds = seconds(sums.longest_late_ns);
  row.long_turns = static_cast<double>(loop.long_turns.size()) * loop.told;
  for (const LoopHandler& handler : loop.handlers) row.handlers.push_back({handler.culprit, handler.turns.size(), handler.seconds, handler.longest});
  return row;
}

}  // namespace

std::vector<EventLoopRow> event_loop_rows(const Model& model) {
  std::vector<EventLoopRow> rows;
  for (const EventLoop& loop : model.event_loops.loops)
    if (rows.size() < kMostRows) rows.push_back(row_of(model, loop));
  return rows;
}

}  // namespace tailback::analyzers
