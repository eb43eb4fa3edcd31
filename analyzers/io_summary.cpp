// SPDX-License-Identifier: Apache-2.0
// Waiting and I/O as rows of the report.
#include <algorithm>

#include "analyzers/summary.h"

namespace tailback::analyzers {

namespace {

constexpr std::size_t kMostRows = 300;
constexpr double kNothing = 1e-6;  // seconds

double seconds(std::uint64_t ns) { return static_cast<double>(ns) * 1e-9; }

using Causes = std::array<double, kWaitCauses>;

std::vector<WaitRow> rows_of(const Causes& blocked, const Causes& by_design) {
  std::vector<WaitRow> rows;
  for (std::size_t i = 0; i < kWaitCauses; ++i)
    if (blocked[i] >= kNothing) rows.push_back({to_string(static_cast<WaitCause>(i)), blocked[i], std::min(blocked[i], by_design[i])});
  std::stable_sort(rows.begin(), rows.end(), [](const WaitRow& a, const WaitRow& b) { return a.seconds > b.seconds; });
  return rows;
}

// The figures that a file and each operation on it have in common.
template <class Row>
void set_figures(Row& row, const CallCounts& counts, const LogHistogram& latencies) {
  row.calls = counts.calls, row.errors = counts.errors, row.bytes = counts.bytes;
  row.seconds = seconds(counts.ns), row.blocked_seconds = seconds(counts.blocked_ns);
  row.p50_seconds = latencies.duration_quantile(0.50) * 1e-9;
  row.p99_seconds = latencies.duration_quantile(0.99) * 1e-9;
}

IoRow row_of(const Model& model, const EndpointTotals& totals) {
  const EndpointRow& endpoint = model.recording.calls.endpoints[totals.endpoint];
  IoRow row;
  row.name = endpoint.name;
  row.kind = trace::name_of(endpoint.kind);
  set_figures(row, totals.counts, totals.latencies);
  for (const OperationTotals& operation : totals.operations) {
    IoOperation made;
    made.call = trace::name_of(operation.call);
    set_figures(made, operation.counts, operation.latencies);
    row.operations.push_back(std::move(made));
  }
  if (!totals.turns) return row;
  row.opened = totals.turns->opened, row.turns = totals.turns->turns;
  row.turn_p50_seconds = totals.turns->latencies.duration_quantile(0.50) * 1e-9;
  row.turn_p99_seconds = totals.turns->latencies.duration_quantile(0.99) * 1e-9;
  return row;
}

}  // namespace

std::vector<WaitRow> waiting_of(const Model& model) { return rows_of(model.waits.by_cause, model.waits.by_design); }
std::vector<WaitRow> waiting_of(const ThreadWaits& thread) { return rows_of(thread.blocked, thread.designed); }

std::vector<IoRow> io_rows(const Model& model) {
  std::vector<IoRow> rows;
  for (const EndpointTotals& totals : model.waits.endpoints) {
    if (rows.size() == kMostRows) break;
    rows.push_back(row_of(model, totals));
  }
  return rows;
}

}  // namespace tailback::analyzers
