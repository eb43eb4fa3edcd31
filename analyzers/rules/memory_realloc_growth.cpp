// SPDX-License-Identifier: Apache-2.0
// Containers that reach their size step by step: each step allocates, copies what was there and frees the old block. Seen in the
// container's own growth functions on the stack, or in chains of realloc. With the size known beforehand one step is left.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/rules/allocation_places.h"
#include "analyzers/rules/call_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

constexpr double kFewestSteps = 3, kFewestBlocks = 2'000;
constexpr double kChain = 0.5;            // of the blocks came from realloc
constexpr double kPopulated = 0.05;       // of the fullest bucket of sizes
constexpr double kAllPassSmall = 0.7;     // of the fullest bucket: who grows to a large size had a small one before
constexpr double kOneOfSeveral = 0.02;    // of CPU time: functions named together from here on
constexpr std::uint64_t kFewestCpuSamples = 10;

struct Growth {
  AllocationPlace place;
  bool chain = false;                       // by realloc
  double containers = 0, steps = 0;         // steps: of each
  double first_bytes = 0, final_bytes = 0;  // typical, to a factor of two for containers
  double moved_bytes = 0;
  const FunctionCost::Part* cpu = nullptr;  // growing, copies included
  double allocator_share = 0;               // of that
};

// Every container that grows by itself has been small: the smallest size seen is the most frequent, and says how many there were.
bool shape_of_growth(Growth& growth) {
  const LogHistogram& sizes = growth.place.sizes;
  double most = 0;
  for (std::size_t i = 0; i < LogHistogram::kBuckets; ++i) most = std::max(most, static_cast<double>(sizes.count(i)));
  std::size_t first = LogHistogram::kBuckets, last = 0;
  for (std::size_t i = 1; i < LogHistogram::kBuckets; ++i)
    if (static_cast<double>(sizes.count(i)) >= kPopulated * most && sizes.count(i) > 0) first = std::min(first, i), last = i;
  if (first == LogHistogram::kBuckets) return false;
  growth.first_bytes = std::ldexp(1.0, static_cast<int>(first) - 1);
  growth.final_bytes = std::ldexp(1.0, static_cast<int>(last) - 1);
  const double small = static_cast<double>(sizes.count(first));
  growth.containers = growth.chain ? std::max(1.0, growth.place.blocks - growth.place.reallocations) : growth.place.blocks * small / static_cast<double>(sizes.total());
  return growth.chain || small >= kAllPassSmall * most;
}

Growth growth_of(const AllocatorTime& time, AllocationPlace place) {
  Growth growth;
  growth.place = std::move(place);
  growth.chain = growth.place.reallocations >= kChain * growth.place.blocks;
  if (!shape_of_growth(growth)) return growth;
  growth.steps = growth.place.blocks / std::max(growth.containers, 1.0);
  growth.moved_bytes = growth.chain ? growth.place.moved_bytes : std::max(0.0, growth.place.bytes - growth.containers * growth.final_bytes);
  if (growth.chain) growth.final_bytes = growth.place.sizes.size_quantile(0.9);
  const FunctionCost& cost = time.of(growth.place.function);
  growth.cpu = &cost.part(CpuPart::grow);
  const double outside = cost.part(CpuPart::allocate).seconds + cost.part(CpuPart::free).seconds;
  growth.allocator_share = std::clamp((cost.allocator.seconds - outside) / std::max(growth.cpu->seconds, 1e-9), 0.0, 1.0);
  return growth;
}

bool is_wanted(const HeapSite& site, const AllocationWork& work) { return work.grows || site.reallocations >= kChain * std::max(site.blocks, 1.0); }

// The part of growing that goes when the first allocation is large enough: all copies, all allocations but one.
Removable removable(const std::vector<const Growth*>& all, std::uint64_t samples) {
  double seconds = 0, saved = 0, containers = 0, blocks = 0;
  for (const Growth* growth : all) {
    seconds += growth->cpu->seconds;
    saved += growth->cpu->seconds * (1 - growth->allocator_share / growth->steps);
    containers += growth->containers, blocks += growth->place.blocks;
  }
  const double error = 2 / std::sqrt(static_cast<double>(std::max<std::uint64_t>(samples, 1)));
  Removable part;
  part.expected = saved / std::max(seconds, 1e-9);
  part.low = std::max(0.0, part.expected * (1 - error) - 0.1);  // sizes are known to a factor of two
  part.high = 1 + error;
  part.why = fmt::format("{} of growing {} containers in {} steps; with room from the start one step each is left and nothing is copied", duration(seconds), count_text(containers), count_text(blocks));
  return part;
}

std::string reserve_advice(const Growth& growth) {
  const std::string where = growth.place.culprit.function;
  if (growth.chain)
    return fmt::format("{}: ask for the final size at once ({} holds 90 % of those seen), or grow by a factor of 1.5 or 2 instead of by a fixed step: {:.0f} steps become {:.0f}", where,
                       bytes_text(growth.final_bytes), growth.steps, std::max(1.0, std::ceil(std::log2(growth.steps))));
  if (growth.place.pattern == PatternId::string_copy) return fmt::format("{}: reserve({:.0f}) before the text is appended to: it reaches {} to {}", where, 2 * growth.final_bytes - 1, bytes_text(growth.final_bytes), bytes_text(2 * growth.final_bytes));
  constexpr double kLargestElement = 256;  // bytes; a larger first block holds several: there was room before
  if (growth.first_bytes > kLargestElement)
    return fmt::format("{}: reserve(n) before filling; containers here reach {} to {}: room for the larger where n is not known", where, bytes_text(growth.final_bytes),
                       bytes_text(2 * growth.final_bytes - 1));
  const double elements = growth.final_bytes / std::max(growth.first_bytes, 1.0);
  return fmt::format("{}: reserve(n) before filling; containers here reach {:.0f} to {:.0f} elements ({} to {}): reserve({:.0f}) where n is not known", where, std::max(1.0, elements / 2 + 1), elements,
                     bytes_text(growth.final_bytes), bytes_text(2 * growth.final_bytes - 1), elements);
}

std::vector<Evidence> evidence_of(const std::vector<const Growth*>& all, double seconds, std::uint64_t samples) {
  const Growth& first = *all.front();
  double moved = 0;
  for (const Growth* growth : all) moved += growth->moved_bytes;
  std::vector<Evidence> evidence = {text_evidence("grown by", first.chain ? "realloc" : pattern(first.place.pattern).doing), count_evidence("steps of one container", std::round(first.steps), "count"),
                                    count_evidence("containers", std::round(first.containers), "count"), count_evidence("blocks", std::round(first.place.blocks), "count"),
                                    count_evidence("final size", std::round(first.final_bytes), "bytes"), count_evidence("bytes moved", std::round(moved), "bytes"),
                                    seconds_evidence("CPU time of growing", seconds), count_evidence("CPU samples", static_cast<double>(samples), "count")};
  for (std::size_t i = 1; i < all.size() && i < 4; ++i) evidence.push_back(text_evidence("also in", all[i]->place.culprit.function));
  return evidence;
}

Finding finding_of(const Model& model, const std::vector<const Growth*>& all) {
  const Growth& first = *all.front();
  std::vector<bool> stacks(model.recording.nodes.size());
  std::vector<StackWeight> weights;
  double seconds = 0;
  std::uint64_t samples = 0;
  for (const Growth* growth : all) {
    weights.insert(weights.end(), growth->cpu->stacks.begin(), growth->cpu->stacks.end());
    seconds += growth->cpu->seconds, samples += growth->cpu->samples;
  }
  for (const StackWeight& weight : weights) stacks[weight.stack] = true;
  std::stable_sort(weights.begin(), weights.end(), [](const StackWeight& a, const StackWeight& b) { return a.ns > b.ns; });
  Finding finding;
  finding.gain = gain_of_cpu_time(model, stacks, removable(all, samples));
  finding.cpu_seconds = seconds;
  finding.severity = severity_by_part(finding.gain.fraction);
  finding.confidence = (samples >= 100 ? 0.9 : 0.7) * (first.chain ? 0.9 : 1);
  finding.culprit = first.place.culprit;
  const std::string others = all.size() > 1 ? fmt::format(" and {}", plural(all.size() - 1, "other function")) : "";
  finding.title = fmt::format("{}{} {} containers step by step ({:.0f} steps up to {}): {} of CPU time", first.place.culprit.function, others, all.size() > 1 ? "grow" : "grows", first.steps,
                              bytes_text(first.chain ? first.final_bytes : 2 * first.final_bytes), percent(seconds / std::max(static_cast<double>(model.cpu.cpu_ns) * 1e-9, 1e-9)));
  finding.evidence = evidence_of(all, seconds, samples);
  finding.stacks = cpu_stacks(model, weights, 4);
  for (StackEvidence& stack : allocation_stacks(model, first.place, 1)) finding.stacks.push_back(std::move(stack));
  for (const Growth* growth : all)
    if (finding.advice.size() < 4) finding.advice.push_back(reserve_advice(*growth));
  finding.advice.push_back("or keep the container and clear() it: it keeps its room");
  finding.verify = fmt::format("{}; the time of growing should fall from {} to about {}", record_again(model), duration(seconds), duration(seconds * (1 - removable(all, samples).expected)));
  return finding;
}

}  // namespace

RuleResult memory_realloc_growth(const Model& model) {
  if (!model.heap.missing.empty()) return RuleResult::cannot(model.heap.missing);
  if (const std::string because = too_few_samples(model); !because.empty()) return RuleResult::cannot(because);
  const AllocatorTime& time = model.allocator_time;
  std::vector<Growth> growths;
  double blocks = 0;
  for (AllocationPlace& place : allocation_places(model, is_wanted)) {
    blocks += place.blocks;
    if (place.function == 0 || place.blocks < kFewestBlocks) continue;
    Growth growth = growth_of(time, std::move(place));
    const bool worth = growth.cpu && growth.cpu->samples >= kFewestCpuSamples && growth.cpu->seconds >= kOneOfSeveral * static_cast<double>(model.cpu.cpu_ns) * 1e-9;
    if (growth.steps >= kFewestSteps && worth) growths.push_back(std::move(growth));
  }
  std::stable_sort(growths.begin(), growths.end(), [](const Growth& a, const Growth& b) { return a.cpu->seconds > b.cpu->seconds; });
  RuleResult result;
  result.fine = fmt::format("{} of {} blocks come from growing containers; it costs less than 3 %", count_text(blocks), count_text(model.heap.blocks));
  if (growths.empty()) return result;
  std::vector<const Growth*> all;
  for (const Growth& growth : growths) all.push_back(&growth);
  Finding finding = finding_of(model, all);
  if (finding.severity != Severity::info) result.findings.push_back(std::move(finding));
  return result;
}

}  // namespace tailback::analyzers
