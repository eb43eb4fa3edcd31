// SPDX-License-Identifier: Apache-2.0
// The allocator dominates CPU time: whatever the blocks are for, another way to get them is worth more than what is done with them.
// Where they live for a moment or grow step by step, the more specific rules say so.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/rules/allocation_places.h"
#include "analyzers/rules/call_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

constexpr double kWorthSaying = 0.15, kDominates = 0.30;  // of CPU time inside the allocator
constexpr double kFewestBlocks = 10'000;
constexpr std::uint64_t kFewestCpuSamples = 20;
constexpr double kPoolPair = 5e-9;      // seconds: taking a block from a list of free ones and giving it back
constexpr double kOtherAllocator = 0.3; // of the time that a faster allocator saves, where a pool is not possible
constexpr double kThreadKeeps = 1032;   // bytes: glibc's per-thread cache ends there

// Growing containers have a rule of their own.
double allocator_seconds(const AllocatorTime& time) {
  double seconds = 0;
  for (const auto& [function, cost] : time.functions) seconds += cost.part(CpuPart::allocate).seconds + cost.part(CpuPart::free).seconds;
  return seconds;
}

struct Hot {
  const AllocationPlace* place = nullptr;
  ThreadSeconds seconds;  // allocating, and freeing its blocks wherever that is
  double total = 0, freed_elsewhere = 0;
  std::uint64_t samples = 0;
};

// Freeing is booked to the functions whose blocks it is, by the heap's shares: a pool at one end changes both.
Hot hot_of(const Model& model, const AllocatorTime& time, const AllocationPlace& place, double all_free_seconds, const ThreadSeconds& freeing) {
  const FunctionCost::Part& allocate = time.of(place.function).part(CpuPart::allocate);
  Hot hot{&place, cpu_seconds_at(model, stack_set(model.recording, {&allocate}))};
  const double allocating = total_of(hot.seconds);
  hot.freed_elsewhere = all_free_seconds > 0 ? place.free_seconds / all_free_seconds : 0;
  for (const auto& [thread, seconds] : freeing) hot.seconds[thread] += seconds * hot.freed_elsewhere;
  hot.total = total_of(hot.seconds);
  hot.samples = allocate.samples + static_cast<std::uint64_t>(hot.freed_elsewhere * static_cast<double>(time.freeing.samples));
  hot.freed_elsewhere = hot.total - allocating;
  return hot;
}

Gain gain_of(const Model& model, const Hot& hot) {
  const double pair = hot.total / std::max(hot.place->blocks, 1.0), error = 2 / std::sqrt(static_cast<double>(std::max<std::uint64_t>(hot.samples, 1)));
  Removable part;
  part.expected = std::max(kOtherAllocator, 1 - kPoolPair / std::max(pair, 1e-12));
  part.low = kOtherAllocator * (1 - std::min(1.0, error));
  part.high = 1 + error;
  part.why = fmt::format("{} blocks at {} for allocating and freeing one, by {} CPU samples; from a pool one costs about {}. Low bound: another allocator only", count_text(hot.place->blocks), duration(pair),
                         hot.samples, duration(kPoolPair));
  return gain_of_cpu_seconds(model, hot.seconds, part);
}

std::vector<std::string> advice_for(const Model& model, const Hot& hot) {
  const AllocationPlace& place = *hot.place;
  const double median = place.sizes.size_quantile(0.5), most = place.sizes.size_quantile(0.99);
  std::vector<std::string> advice = {fmt::format("take the blocks of {} from a pool with a list of free ones for each size class: {}; {} were allocated and at most about {} of them lived at once, which is what the pool has to hold", place.culprit.function,
                                                 sizes_text(place.sizes), count_text(place.blocks), count_text(std::max(1.0, model.heap.peak_bytes / std::max(1.0, place.mean_bytes()))))};
  advice.push_back("objects that die together: an arena (std::pmr::monotonic_buffer_resource, unsynchronized_pool_resource) frees them at once");
  const bool glibc = model.recording.allocations.allocator.empty() || model.recording.allocations.allocator == "glibc";
  if (glibc && median > kThreadKeeps)
    advice.push_back(fmt::format("half of the blocks are larger than {:.0f} bytes, beyond what glibc keeps for each thread: jemalloc and tcmalloc keep such sizes too (try LD_PRELOAD=libjemalloc.so.2)", kThreadKeeps));
  else if (glibc) advice.push_back("try another allocator first, it is one line: LD_PRELOAD=libjemalloc.so.2, or libtcmalloc_minimal.so.4, and compare with tailback bench");
  if (most <= 256) advice.push_back(fmt::format("99 % have at most {}: put them into the object that owns them, or into a vector of values instead of pointers", bytes_text(most)));
  return advice;
}

std::vector<Evidence> evidence_of(const Model& model, const AllocatorTime& time, const Hot& hot) {
  const AllocationPlace& place = *hot.place;
  const double cpu = std::max(static_cast<double>(model.cpu.cpu_ns) * 1e-9, 1e-9);
  std::vector<Evidence> evidence = {fraction_evidence("CPU time inside the allocator, whole program", allocator_seconds(time) / cpu), fraction_evidence("of that, for blocks of this function", hot.total / std::max(allocator_seconds(time), 1e-9)),
                                    count_evidence("blocks", std::round(place.blocks), "count"), seconds_evidence("one block, allocated and freed", hot.total / std::max(place.blocks, 1.0)),
                                    seconds_evidence("CPU time of freeing them", hot.freed_elsewhere)};
  for (const auto& [label, part] : {std::pair{"a tenth of them smaller than", 0.1}, {"median size", 0.5}, {"a tenth of them larger than", 0.9}})
    evidence.push_back(count_evidence(label, std::round(place.sizes.size_quantile(part)), "bytes"));
  if (!model.recording.allocations.allocator.empty()) evidence.push_back(text_evidence("allocator", model.recording.allocations.allocator));
  evidence.push_back(count_evidence("CPU samples", static_cast<double>(hot.samples), "count"));
  return evidence;
}

Finding finding_of(const Model& model, const AllocatorTime& time, const Hot& hot) {
  const double share = allocator_seconds(time) / std::max(static_cast<double>(model.cpu.cpu_ns) * 1e-9, 1e-9);
  Finding finding;
  finding.gain = gain_of(model, hot);
  finding.cpu_seconds = hot.total;
  finding.severity = severity_by_part(finding.gain.fraction);
  if (share < kDominates) finding.severity = std::min(finding.severity, Severity::low);
  finding.confidence = hot.samples >= 100 ? 0.85 : 0.65;
  finding.culprit = hot.place->culprit;
  finding.title = fmt::format("{} of CPU time is spent inside the allocator, most of it for the {} blocks of {}", percent(share), count_text(hot.place->blocks), hot.place->culprit.function);
  finding.evidence = evidence_of(model, time, hot);
  const FunctionCost& cost = time.of(hot.place->function);
  std::vector<StackWeight> stacks = cost.part(CpuPart::allocate).stacks;
  stacks.insert(stacks.end(), cost.part(CpuPart::free).stacks.begin(), cost.part(CpuPart::free).stacks.end());
  std::stable_sort(stacks.begin(), stacks.end(), [](const StackWeight& a, const StackWeight& b) { return a.ns > b.ns; });
  finding.stacks = cpu_stacks(model, stacks, 3);
  for (StackEvidence& stack : allocation_stacks(model, *hot.place, 1)) finding.stacks.push_back(std::move(stack));
  finding.advice = advice_for(model, hot);
  finding.verify = fmt::format("{}; the allocator's part of CPU time should fall from {} by about {}", record_again(model), percent(share), percent(hot.total / std::max(static_cast<double>(model.cpu.cpu_ns) * 1e-9, 1e-9)));
  return finding;
}

}  // namespace

RuleResult memory_allocation_hotspot(const Model& model) {
  if (!model.heap.missing.empty()) return RuleResult::cannot(model.heap.missing);
  if (const std::string because = too_few_samples(model); !because.empty()) return RuleResult::cannot(because);
  const AllocatorTime& time = model.allocator_time;
  const double share = allocator_seconds(time) / std::max(static_cast<double>(model.cpu.cpu_ns) * 1e-9, 1e-9);
  RuleResult result;
  result.fine = fmt::format("{} of CPU time is spent inside the allocator", percent(share));
  if (share < kWorthSaying) return result;
  const std::vector<AllocationPlace> places = allocation_places(model, [](const HeapSite& site, const AllocationWork& work) { return !work.grows && site.reallocations < 0.5 * std::max(site.blocks, 1.0); });
  double all_free_seconds = 0;
  for (const AllocationPlace& place : places) all_free_seconds += place.free_seconds;
  const ThreadSeconds freeing = cpu_seconds_at(model, stack_set(model.recording, {&time.freeing}));
  Hot hottest;
  for (const AllocationPlace& place : places) {
    if (place.function == 0 || place.blocks < kFewestBlocks) continue;
    Hot hot = hot_of(model, time, place, all_free_seconds, freeing);
    if (hot.samples >= kFewestCpuSamples && hot.total > hottest.total) hottest = std::move(hot);
  }
  if (!hottest.place) return result;
  Finding finding = finding_of(model, time, hottest);
  result.fine += fmt::format(", spread over many functions ({} with the most)", hottest.place->culprit.function);
  if (finding.severity != Severity::info) result.findings.push_back(std::move(finding));
  return result;
}

}  // namespace tailback::analyzers
