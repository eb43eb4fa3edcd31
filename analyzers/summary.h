// SPDX-License-Identifier: Apache-2.0
// The parts of a report that are no findings: what ran, how it fared, its threads, and how far the recording can be trusted.
#pragma once
#include "analyzers/model/model.h"
#include "analyzers/report.h"

namespace tailback::analyzers {

Target target_of(const Model& model);

// `findings`: all that stand, ranked. Health: unhealthy with a finding of high severity or above, degraded with a medium one;
// a cpu-hotspot of medium severity is no ill: every program spends its time somewhere.
Summary summary_of(const Model& model, const std::vector<Finding>& findings);

// Busiest first. Creation stacks only for the first ones, the bulk of a thousand equal threads would say nothing new.
std::vector<ThreadRow> thread_rows(const Model& model);

// Where threads waited: of all of them, and of one. Most first; empty when calls were not recorded.
std::vector<WaitRow> waiting_of(const Model& model);
std::vector<WaitRow> waiting_of(const ThreadWaits& thread);

// What calls worked on, most time first; the first few hundred.
std::vector<IoRow> io_rows(const Model& model);
std::vector<LockRow> lock_rows(const Model& model);
std::vector<PoolRow> pool_rows(const Model& model);
std::vector<PauseRow> pause_rows(const Model& model);
std::vector<EventLoopRow> event_loop_rows(const Model& model);

// The heap and the places that allocated, most bytes first; `known` false when it was not recorded.
Allocations allocations_of(const Model& model);

RecordingQuality quality_of(const Model& model);

}  // namespace tailback::analyzers
