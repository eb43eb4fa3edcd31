// SPDX-License-Identifier: Apache-2.0
// Blocks that somebody forgot. Where the agent searched the program's memory at its end, those that nothing referred to any more; else a
// place that frees most of what it allocates soon, but a part of it never, and that part grows through the whole recording. What is allocated once at the start does not grow; what follows the input of a program that then ends is left
// alone, and what a container holds is memory-growth's.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/rules/growing_places.h"
#include "analyzers/rules/lost_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

constexpr double kDay = 86400;
constexpr Urgency kUrgency{30 * kDay, kDay};
constexpr std::size_t kMostFindings = 3;

// What is lost at the end, as a part of what is resident then.
Gain gain_of(const Model& model, const GrowingPlace& growing) {
  const HeapPlace& place = growing.place;
  const double resident = std::max(peak_resident(model), 1.0), lost = place.live_now();
  const double around = 2 * std::sqrt(place.variance * std::clamp(lost / std::max(place.bytes, 1.0), 0.0, 1.0));
  const double whole = footprint(model, lost, lost / std::max(place.mean_size(), 1.0));
  Gain gain;
  gain.metric = "memory";
  gain.fraction = whole / resident;
  gain.low = std::max(0.0, growing.growth.grown() - around) / resident;
  gain.high = (whole + around) / resident;
  gain.how = fmt::format("blocks alive in the end ({}, {}) with the allocator's headers, as a part of what was resident; low bound: what was added after the warm-up", bytes_text(lost),
                         how_known(model));
  return bounded(gain);
}

std::string title_of(const Model& model, const GrowingPlace& growing) {
  const double rate = growing.growth.per_second;
  std::string title = fmt::format("{} loses {} of the memory it allocates: {}, {} an hour", growing.place.culprit.function, percent(1 - growing.freed_part), each_second(rate),
                                  bytes_text(rate * 3600));
  const MemoryLimit limit = memory_limit(model);
  if (const auto left = seconds_left(limit, rate); left && *left < 30 * kDay) title += fmt::format("; {} is used up in {}", limit.name(), long_duration(*left));
  return title;
}

Finding finding_of(const Model& model, const GrowingPlace& growing) {
  const HeapPlace& place = growing.place;
  Finding finding;
  finding.severity = severity_of_growth(model, growing.growth.per_second, growing.growth.grown(), kUrgency);
  finding.confidence = growing.life > 0 ? 0.8 : 0.65;
  finding.gain = gain_of(model, growing);
  finding.culprit = place.culprit;
  finding.title = title_of(model, growing);
  finding.evidence = growth_evidence(model, growing);
  finding.stacks = allocation_stacks(model, place, 2);
  const std::string life = growing.life > 0 ? fmt::format(" after {} (median)", duration(growing.life)) : "";
  finding.advice = {fmt::format("look for the way out of {} or its callers that skips the free: {} of what is allocated here is freed{}, {} never; early returns, error paths and "
                                "exceptions are the usual ones",
                                place.culprit.function, percent(growing.freed_part), life, percent(1 - growing.freed_part)),
                    "let an owner free it on every way out: std::unique_ptr or a container in C++, one exit label (goto out) in C"};
  finding.verify = fmt::format("{}; the bytes alive from {} should stay level instead of growing by {}", record_again(model), place.culprit.function, each_second(growing.growth.per_second));
  return finding;
}

// Found by the search, whether it grew or not.
constexpr double kWorthTelling = 64 * 1024, kPartWorthTelling = 0.01;  // bytes; of what was resident

Finding finding_of(const Model& model, const LostPlace& lost) {
  const double resident = std::max(peak_resident(model), 1.0);
  const LeakScanOutcome& scan = model.recording.allocations.leak_scan;
  Finding finding;
  finding.severity = lost.bytes >= 0.1 * resident ? Severity::medium : Severity::low;
  finding.confidence = scan.other_threads ? 0.8 : 0.95;
  finding.gain.metric = "memory";
  finding.gain.fraction = finding.gain.high = footprint(model, lost.bytes, lost.blocks) / resident;
  finding.gain.low = lost.bytes / resident;
  finding.gain.how = "blocks that nothing in the program's memory referred to when it ended, with the allocator's headers, as a part of what was resident";
  finding.gain = bounded(finding.gain);
  finding.culprit = lost.culprit;
  finding.title = fmt::format("{} lost {}: {} that nothing referred to any more in the end", lost.culprit.function, bytes_text(lost.bytes),
                              plural(static_cast<std::uint64_t>(lost.blocks), "block"));
  finding.evidence = {bytes_evidence("lost", lost.bytes), count_evidence("blocks lost", lost.blocks, "count"),
                      count_evidence("of them referred to by no other lost block", lost.direct_blocks, "count"),
                      count_evidence("blocks alive in the end, of all places", static_cast<double>(scan.blocks), "count")};
  for (std::size_t i = 0; i < std::min<std::size_t>(lost.stacks.size(), 2); ++i)
    finding.stacks.push_back({"allocation", lost.stacks[i].bytes, "bytes", model.symbols->stack(lost.stacks[i].stack)});
  finding.advice = {fmt::format("find where the last pointer to what {} allocates is overwritten or goes out of scope, and free the block there", lost.culprit.function),
                    "let an owner free it on every way out: std::unique_ptr or a container in C++, one exit label (goto out) in C"};
  finding.verify = fmt::format("{} with --alloc exact; {} should not be among what is lost", record_again(model), lost.culprit.function);
  return finding;
}

void add_lost(const Model& model, RuleResult& result) {
  const double least = std::max(kWorthTelling, kPartWorthTelling * peak_resident(model));
  for (const LostPlace& lost : lost_places(model)) {
    const bool told = std::any_of(result.findings.begin(), result.findings.end(), [&](const Finding& finding) {
      return finding.culprit.function == lost.culprit.function && finding.culprit.module == lost.culprit.module;
    });
    if (lost.bytes >= least && !told && result.findings.size() < kMostFindings) result.findings.push_back(finding_of(model, lost));
  }
}

std::string nothing_lost(const Model& model) {
  const LeakScanOutcome& scan = model.recording.allocations.leak_scan;
  if (!scan.leaked_blocks) return "in the end every block was still referred to";
  return fmt::format("in the end {} of {} were referred to by nothing: too little to matter", bytes_text(static_cast<double>(scan.leaked_bytes)), plural(scan.leaked_blocks, "block"));
}

}  // namespace

RuleResult memory_leak(const Model& model) {
  const bool searched = knows_what_is_lost(model);
  const GrowingPlaces growing = growing_places(model);
  if (!growing.missing.empty() && !searched) return RuleResult::cannot(growing.missing);
  RuleResult result;
  const bool may_follow_input = !searched && !runs_on(model);
  for (const GrowingPlace& one : growing.places)
    if (one.fate == Fate::lost && !may_follow_input && result.findings.size() < kMostFindings) result.findings.push_back(finding_of(model, one));
  if (searched) add_lost(model, result);
  result.fine = searched                                          ? nothing_lost(model)
                : may_follow_input && !growing.places.empty() ? "memory grew, and the program ended: it may be its input; record with --alloc exact to know whether anything still referred to it"
                                                              : "no place that frees its blocks kept a growing part of them";
  return result;
}

}  // namespace tailback::analyzers
