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

RecordingQuality quality_of(const Model& model);

}  // namespace tailback::analyzers
