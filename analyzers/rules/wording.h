// SPDX-License-Identifier: Apache-2.0
// How rules put figures, frames and stacks into a finding, so that all say it alike. Judges nothing.
#pragma once
#include <span>
#include <string>

#include "analyzers/finding.h"
#include "analyzers/model/model.h"
#include "analyzers/model/object_names.h"
#include "analyzers/model/own_frame.h"

namespace tailback::analyzers {

std::string percent(double fraction);        // "42 %", "0.4 %"
std::string duration(double seconds);        // "1.2 s", "35 ms", "60 ns"
std::string plural(std::uint64_t count, const std::string& noun);  // "3 threads", "1 thread"

std::string bytes_text(double bytes);        // "1.5 MiB", "640 bytes"
std::string each_second(double bytes);       // "1.5 MiB/s"

Evidence bytes_evidence(std::string label, double bytes);
Evidence seconds_evidence(std::string label, double seconds);
Evidence fraction_evidence(std::string label, double fraction);
Evidence count_evidence(std::string label, double count, std::string unit);
Evidence text_evidence(std::string label, std::string text);

// The heaviest of `stacks` (descending) as evidence, at most `most`, with seconds of CPU time.
std::vector<StackEvidence> cpu_stacks(const Model& model, std::span<const StackWeight> stacks, std::size_t most);
// Where a group of threads was created, nothing when that was not seen.
std::vector<StackEvidence> creator_stack(const Model& model, StackId stack, double weight, const std::string& unit);
// The frame of a function by its address (a start routine).
Frame frame_at(const Model& model, std::uint64_t address);
// The command that records this program again.
std::string record_again(const Model& model);

// "because only 3 CPU samples ..."; empty when there are enough.
std::string too_few_samples(const Model& model);

}  // namespace tailback::analyzers
