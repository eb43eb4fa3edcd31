// SPDX-License-Identifier: Apache-2.0
// Memory is near its limit, or reaches it soon at the present trend: then the kernel kills the process, or everything swaps. By the
// process's own resident memory, since what else a cgroup or machine uses is mostly file cache and goes when it must.
#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/rules/heap_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

constexpr double kNear = 0.8, kVeryNear = 0.95;  // of the limit
constexpr double kOwnPart = 0.25;                // of the machine's memory, for it to be this process's affair
constexpr double kSoon = 10;                     // recordings as long as this one

Growth resident_growth(const Model& model) {
  std::vector<double> times, resident;
  for (const trace::ProcessState& state : model.recording.process) {
    if (!times.empty() && static_cast<double>(state.t) * 1e-9 <= times.back()) continue;
    times.push_back(static_cast<double>(state.t) * 1e-9);
    resident.push_back(static_cast<double>(state.rss_bytes));
  }
  return growth_of(times, resident);
}

Frame largest_place(const Model& model) {
  const std::vector<HeapPlace> places = heap_places(model);
  return places.empty() ? Frame{} : places.front().culprit;
}

Finding described(const Model& model, const MemoryLimit& limit, const Growth& growth) {
  const double resident = peak_resident(model);
  Finding finding;
  finding.gain.metric = "availability";
  finding.gain.how = "no figure: a limit that is reached or forecast, not a saving";
  finding.culprit = largest_place(model);
  finding.evidence = {bytes_evidence("resident at most", resident), bytes_evidence(limit.name(), limit.bytes), bytes_evidence("in use, file cache of the cgroup not counted", limit.used)};
  if (growth.steady) {
    finding.evidence.push_back(count_evidence("growth of resident memory", growth.per_second, "bytes/s"));
    finding.evidence.push_back(count_evidence("growth, low bound (95 %)", growth.low, "bytes/s"));
    finding.evidence.push_back(count_evidence("growth, high bound (95 %)", growth.high, "bytes/s"));
    if (const auto left = seconds_left(limit, growth.per_second)) finding.evidence.push_back(seconds_evidence("time left at this rate", *left));
  }
  for (const trace::ProcessState& state : model.recording.process)
    if (&state == &model.recording.process.back() && state.major_faults) finding.evidence.push_back(count_evidence("pages read back from storage", static_cast<double>(state.major_faults), "count"));
  finding.advice = {"look first at the findings memory-leak, memory-growth, memory-peak and memory-fragmentation: they name what can go",
                    limit.of_cgroup ? "else raise the limit (memory.max, --memory, resources.limits.memory): at the limit the kernel kills a process of the cgroup"
                                    : "else give the machine more memory, or this process a limit of its own, so that it does not take others with it"};
  finding.verify = fmt::format("{}; resident memory should stay well below {}", record_again(model), bytes_text(limit.bytes));
  return finding;
}

std::optional<Finding> near_finding(const Model& model, const MemoryLimit& limit, const Growth& growth) {
  const double used = limit.used / limit.bytes;
  const bool own = limit.of_cgroup || peak_resident(model) >= kOwnPart * limit.bytes;
  if (used < kNear || !own) return std::nullopt;
  Finding finding = described(model, limit, growth);
  finding.severity = used >= kVeryNear ? Severity::high : Severity::medium;
  finding.confidence = 0.85;
  finding.title = fmt::format("{} of {} ({}) in use; {} resident", percent(used), limit.name(), bytes_text(limit.bytes), bytes_text(peak_resident(model)));
  return finding;
}

std::optional<Finding> trend_finding(const Model& model, const MemoryLimit& limit, const Growth& growth) {
  const auto left = seconds_left(limit, growth.per_second);
  if (!growth.steady || !left || *left > kSoon * model.timeline.wall_seconds || !runs_on(model)) return std::nullopt;
  Finding finding = described(model, limit, growth);
  finding.severity = *left < model.timeline.wall_seconds ? Severity::high : Severity::medium;
  finding.confidence = 0.7;
  finding.title = fmt::format("resident memory grew to {} and reaches {} ({}) in {} at this rate", bytes_text(growth.after), limit.name(), bytes_text(limit.bytes), long_duration(*left));
  return finding;
}

}  // namespace

RuleResult memory_pressure(const Model& model) {
  const MemoryLimit limit = memory_limit(model);
  if (limit.bytes <= 0 || peak_resident(model) <= 0) return RuleResult::cannot("neither a limit of memory nor what is resident was recorded");
  RuleResult result;
  const Growth growth = resident_growth(model);
  auto finding = near_finding(model, limit, growth);
  if (!finding) finding = trend_finding(model, limit, growth);
  if (finding) result.findings.push_back(std::move(*finding));
  result.fine = fmt::format("at most {} of {} ({}) was in use", percent(limit.used / limit.bytes), limit.name(), bytes_text(limit.bytes));
  return result;
}

}  // namespace tailback::analyzers
