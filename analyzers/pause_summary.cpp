// SPDX-License-Identifier: Apache-2.0
// Pauses as rows of the report.
#include <algorithm>

#include "analyzers/model/own_frame.h"
#include "analyzers/summary.h"

namespace tailback::analyzers {

namespace {

constexpr std::size_t kMostPauses = 1000, kMostFrames = 64;

PauseRow row_of(const Model& model, const PauseKind& kind) {
  PauseRow row;
  row.cause = to_string(kind.cause);
  row.runtime = to_string(kind.runtime);
  row.count = kind.count;
  row.total_seconds = kind.seconds;
  row.sampled = kind.sampled;
  row.longest_seconds = kind.longest();
  row.p50_seconds = kind.quantile(0.5), row.p90_seconds = kind.quantile(0.9), row.p99_seconds = kind.quantile(0.99);
  row.fraction = kind.seconds / std::max(model.timeline.wall_seconds, 1e-9);
  row.added_p99_seconds = kind.added_latency(0.99, model.timeline.wall_seconds);
  row.added_p999_seconds = kind.added_latency(0.999, model.timeline.wall_seconds);
  for (const Pause& pause : kind.pauses) {
    if (row.pauses.size() == kMostPauses) break;
    row.pauses.push_back({pause.begin, pause.seconds, pause.thread});
  }
  if (!kind.stacks.empty()) {
    row.frames = model.symbols->stack(kind.stacks.front().stack);
    if (row.frames.size() > kMostFrames) row.frames.resize(kMostFrames);
  }
  return row;
}

}  // namespace

std::vector<PauseRow> pause_rows(const Model& model) {
  std::vector<PauseRow> rows;
  for (const PauseKind& kind : model.pauses.kinds) rows.push_back(row_of(model, kind));
  return rows;
}

}  // namespace tailback::analyzers
