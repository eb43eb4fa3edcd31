// SPDX-License-Identifier: Apache-2.0
// Blocks that live for a moment: made, looked at and dropped, over and over. What goes with them is the allocator's work and, where
// they are strings made to be looked at, the copying. Large blocks are memory-page-fault-storm's, growing ones memory-realloc-growth's.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/rules/allocation_places.h"
#include "analyzers/rules/call_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

constexpr std::size_t kMostFindings = 3;
constexpr double kBrief = 16.4e-6;        // seconds; 2^14 ns, a bucket's end
constexpr double kMostlyBrief = 0.5;      // of the blocks
constexpr double kFewestBlocks = 10'000;
constexpr std::uint64_t kFewestCpuSamples = 10;
constexpr double kKept = 0.05;            // of the allocator's time: looking whether there is room, and what is left after the repair
constexpr double kScanned = 0.5;          // of the time that strings are searched: a copy is read right after it was written, and waits for that
constexpr double kOnStack = 1024;         // bytes that a local array may well have

bool may_be_churn(const HeapSite& site, const AllocationWork& work) {
  const bool paged = site.sample && site.sample->paged_blocks > 0.5 * site.sample->blocks;
  return !work.grows && site.reallocations < 0.5 * site.blocks && !paged;
}

struct Churn {
  const AllocationPlace* place = nullptr;
  double brief = 0;              // of the blocks
  ThreadSeconds seconds;         // of CPU time: allocating, freeing, copying, searching
  double pairs = 0, copies = 0, scans = 0;  // of that
  std::uint64_t samples = 0;
  std::vector<StackWeight> stacks;
  bool text = false;

  double total() const { return pairs + copies + scans; }
};

// CPU time of frees that other functions make of this one's blocks, by its share of all freeing.
double freed_elsewhere(const AllocatorTime& time, const AllocationPlace& place, double own_frees, double all_free_seconds) {
  if (all_free_seconds <= 0) return 0;
  return std::max(0.0, time.freeing.seconds * place.free_seconds / all_free_seconds - own_frees);
}

Churn churn_of(const Model& model, const AllocatorTime& time, const AllocationPlace& place, double all_free_seconds, double churning) {
  const FunctionCost& cost = time.of(place.function);
  Churn churn{&place, place.short_lived(kBrief)};
  churn.text = place.pattern == PatternId::string_copy;
  const auto& allocate = cost.part(CpuPart::allocate);
  const auto& free = cost.part(CpuPart::free);
  churn.seconds = cpu_seconds_at(model, stack_set(model.recording, {&allocate, &free}));
  const double own = total_of(churn.seconds), own_frees = own * free.seconds / std::max(allocate.seconds + free.seconds, 1e-9);
  churn.pairs = (own - own_frees) * churning + std::min(own_frees, own_frees * churning) + freed_elsewhere(time, place, own_frees, all_free_seconds);
  for (auto& [thread, seconds] : churn.seconds) seconds *= own > 0 ? churn.pairs / own : 0;
  churn.samples = allocate.samples + free.samples;
  const auto add = [&](CpuPart which, double& to) {
    for (const auto& [thread, seconds] : cpu_seconds_at(model, stack_set(model.recording, {&cost.part(which)}))) churn.seconds[thread] += seconds, to += seconds;
  };
  if (churn.text) add(CpuPart::copy, churn.copies), add(CpuPart::scan, churn.scans);
  for (const CpuPart part : {CpuPart::allocate, CpuPart::free, CpuPart::copy}) {
    if (part == CpuPart::copy && !churn.text) continue;
    churn.stacks.insert(churn.stacks.end(), cost.part(part).stacks.begin(), cost.part(part).stacks.end());
  }
  std::stable_sort(churn.stacks.begin(), churn.stacks.end(), [](const StackWeight& a, const StackWeight& b) { return a.ns > b.ns; });
  return churn;
}

Gain gain_of(const Model& model, const Churn& churn) {
  const double total = std::max(churn.total(), 1e-9), error = 2 / std::sqrt(static_cast<double>(std::max<std::uint64_t>(churn.samples, 1)));
  Removable part;
  part.expected = ((1 - kKept) * (churn.pairs + churn.copies) + kScanned * churn.scans) / total;
  part.low = std::max(0.0, churn.brief * (1 - kKept) * churn.pairs * (1 - error) / total);
  part.high = std::max(part.expected, 1 + error);
  const double each = churn.pairs / std::max(churn.place->blocks, 1.0), by_clock = churn.place->cost_seconds() / std::max(churn.place->blocks, 1.0);
  part.why = fmt::format("{} blocks at {} for allocating and freeing one, by {} CPU samples (by clocks around {} sampled calls, whatever interrupted these included: {}){}", count_text(churn.place->blocks),
                         duration(each), churn.samples, churn.place->samples, duration(by_clock),
                         churn.text ? fmt::format("; {} of copying into them, and half of the {} of searching text", duration(churn.copies), duration(churn.scans)) : "");
  return gain_of_cpu_seconds(model, churn.seconds, part);
}

std::vector<std::string> advice_for(const Churn& churn) {
  const AllocationPlace& place = *churn.place;
  const double most = place.sizes.size_quantile(0.99);
  std::vector<std::string> advice;
  if (churn.text) advice.push_back(fmt::format("look at the text through std::string_view where a std::string is made only to be read: {} strings, {}", count_text(place.blocks), sizes_text(place.sizes)));
  const char* what = churn.text ? "string" : "buffer";
  advice.push_back(fmt::format("where a {} must be built, keep one outside the loop and use it again (clear() keeps its room): reserve({:.0f}) holds 99 % of those seen", what, std::ceil(most)));
  if (!churn.text && most <= kOnStack) advice.push_back(fmt::format("99 % have at most {}: an array on the stack, or std::pmr::monotonic_buffer_resource over one, needs no allocator", bytes_text(most)));
  else if (!churn.text) advice.push_back("for many small objects that go together, an arena (std::pmr::monotonic_buffer_resource) frees all of them at once");
  return advice;
}

std::vector<Evidence> evidence_of(const Churn& churn) {
  const AllocationPlace& place = *churn.place;
  std::vector<Evidence> evidence = {count_evidence("blocks", std::round(place.blocks), "count"), count_evidence("bytes", std::round(place.bytes), "bytes"),
                                    fraction_evidence("freed before the thread's next allocation, or within 16 us", churn.brief),
                                    count_evidence("median size", std::round(place.sizes.size_quantile(0.5)), "bytes"),
                                    seconds_evidence("median life", place.lifetimes.duration_quantile(0.5) * 1e-9),
                                    seconds_evidence("CPU time of allocating and freeing", churn.pairs),
                                    seconds_evidence("one block, allocated and freed", churn.pairs / std::max(1.0, place.blocks))};
  if (churn.copies > 0) evidence.push_back(seconds_evidence("CPU time of copying text", churn.copies));
  if (place.pattern != PatternId::none && place.pattern != PatternId::allocation) evidence.push_back(text_evidence("made while", pattern(place.pattern).doing));
  evidence.push_back(count_evidence("CPU samples", static_cast<double>(churn.samples), "count"));
  return evidence;
}

Finding finding_of(const Model& model, const Churn& churn, Gain gain) {
  const AllocationPlace& place = *churn.place;
  Finding finding;
  finding.severity = severity_by_part(gain.fraction);
  finding.confidence = (churn.samples >= 100 ? 0.9 : 0.7) * (churn.brief >= 0.8 ? 1 : 0.85);
  finding.title = fmt::format("{} makes {} blocks that live for a moment ({} of them under 16 us): {} of CPU time", place.culprit.function, count_text(place.blocks), percent(churn.brief),
                              percent((churn.pairs + churn.copies) / std::max(static_cast<double>(model.cpu.cpu_ns) * 1e-9, 1e-9)));
  finding.gain = std::move(gain);
  finding.cpu_seconds = churn.pairs + churn.copies;
  finding.culprit = place.culprit;
  finding.evidence = evidence_of(churn);
  finding.stacks = cpu_stacks(model, churn.stacks, 4);
  for (StackEvidence& stack : allocation_stacks(model, place, 2)) finding.stacks.push_back(std::move(stack));
  finding.advice = advice_for(churn);
  finding.verify = fmt::format("{}; the blocks of {} should fall from {} to few, its CPU time by about {}", record_again(model), place.culprit.function, count_text(place.blocks),
                               duration((1 - kKept) * (churn.pairs + churn.copies)));
  return finding;
}

struct AllBlocks {
  std::map<FunctionId, double> allocate_seconds;
  double free_seconds = 0;
};

AllBlocks all_blocks(const std::vector<AllocationPlace>& places) {
  AllBlocks all;
  for (const AllocationPlace& place : places) all.allocate_seconds[place.function] += place.allocate_seconds, all.free_seconds += place.free_seconds;
  return all;
}

}  // namespace

RuleResult memory_temporary_allocations(const Model& model) {
  if (!model.heap.missing.empty()) return RuleResult::cannot(model.heap.missing);
  if (const std::string because = too_few_samples(model); !because.empty()) return RuleResult::cannot(because);
  const AllocatorTime& time = model.allocator_time;
  // What grows has its own part of CPU time (CpuPart::grow), so it does not count here either.
  const AllBlocks all = all_blocks(allocation_places(model, [](const HeapSite&, const AllocationWork& work) { return !work.grows; }));
  RuleResult result;
  double brief_blocks = 0;
  for (const AllocationPlace& place : allocation_places(model, may_be_churn)) {
    if (place.function == 0 || place.blocks < kFewestBlocks || place.short_lived(kBrief) < kMostlyBrief) continue;
    brief_blocks += place.blocks;
    const double churning = place.allocate_seconds / std::max(all.allocate_seconds.at(place.function), 1e-12);
    const Churn churn = churn_of(model, time, place, all.free_seconds, std::min(1.0, churning));
    if (churn.samples < kFewestCpuSamples) continue;
    Gain gain = gain_of(model, churn);
    if (severity_by_part(gain.fraction) != Severity::info) result.findings.push_back(finding_of(model, churn, std::move(gain)));
  }
  std::stable_sort(result.findings.begin(), result.findings.end(), [](const Finding& a, const Finding& b) { return a.gain.fraction > b.gain.fraction; });
  if (result.findings.size() > kMostFindings) result.findings.erase(result.findings.begin() + kMostFindings, result.findings.end());
  result.fine = fmt::format("{} of {} blocks were made by functions whose blocks live for a moment; none costs 3 %", count_text(brief_blocks), count_text(model.heap.blocks));
  return result;
}

}  // namespace tailback::analyzers
