// SPDX-License-Identifier: Apache-2.0
// Threads that want the same part of the allocator at once wait for each other inside malloc and free. Seen in the allocator's own
// locks on sampled stacks, and in calls that take far longer than the CPU time spent in them.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/model/thread_load.h"
#include "analyzers/model/wait_gain.h"
#include "analyzers/rules/allocation_places.h"
#include "analyzers/rules/call_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

constexpr double kLockShare = 0.08;       // of the allocator's CPU time: an uncontended lock of a heap takes 2 to 4 %, and not by a call
constexpr double kFarAbove = 3;           // time in the calls over their CPU time and their part of run queues: waiting, whatever its name
constexpr double kWorthSaying = 0.02;     // of CPU time inside the allocator
constexpr double kTakesPart = 0.05;       // of the allocator's CPU time: a thread that takes part in it
constexpr double kMostlyCrossed = 0.3;    // of the blocks are freed by another thread than allocated them
constexpr double kFewestBlocks = 10'000;
constexpr std::uint64_t kFewestTimed = 100;
constexpr double kCachedCall = 20e-9;     // seconds: malloc or free served from a thread's own cache
constexpr double kBatchKept = 0.05;       // of the cost, when blocks go back in batches to be used again

struct Contention {
  AllocationPlace place;                  // whose blocks it is about
  double cpu = 0, locks = 0;              // CPU seconds in the allocator, of these in its locks
  double in_calls = 0, waiting = 0;       // wall seconds of threads inside the calls; of these beyond CPU time and run queues
  double crossed = 0, blocks = 0;         // part of all blocks
  ThreadSeconds by_thread;                // of cpu
  std::size_t threads = 0;

  bool seen_in_locks() const { return locks >= kLockShare * cpu; }
  bool seen_in_time() const { return in_calls >= kFarAbove * (in_calls - waiting); }
};

double stretch_of(const Model& model) {
  double cpu = 0, demand = 0;
  for (const ThreadLoad& load : thread_loads(model)) cpu += load.cpu, demand += load.demand();
  return cpu > 0 ? demand / cpu : 1;
}

Contention contention_of(const Model& model, const AllocatorTime& time, const std::vector<AllocationPlace>& places) {
  Contention found;
  found.cpu = time.allocator.seconds, found.locks = time.locking.seconds;
  double most = -1, sampled = 0, crossed = 0;
  for (const AllocationPlace& place : places) {
    found.in_calls += place.cost_seconds(), found.blocks += place.blocks;
    sampled += place.sampled_blocks, crossed += place.crossed_blocks;
    if (place.function == 0 || place.cost_seconds() <= most) continue;
    most = place.cost_seconds();
    found.place = place;
  }
  found.crossed = sampled > 0 ? crossed / sampled : 0;
  found.by_thread = cpu_seconds_at(model, stack_set(model.recording, {&time.allocator}));
  found.waiting = std::max(0.0, found.in_calls - found.cpu * stretch_of(model));
  for (const auto& [thread, seconds] : found.by_thread) found.threads += seconds >= kTakesPart * found.cpu;
  return found;
}

// CPU time of the allocator that goes when threads no longer meet in it.
Removable removable(const Contention& found, std::uint64_t samples) {
  const double error = 2 / std::sqrt(static_cast<double>(std::max<std::uint64_t>(samples, 1)));
  const double cached = std::clamp(1 - 2 * kCachedCall * found.blocks / std::max(found.cpu, 1e-9), found.locks / std::max(found.cpu, 1e-9), 1.0);
  Removable part;
  part.expected = found.crossed >= kMostlyCrossed ? std::max(cached, 1 - kBatchKept) : cached;
  part.low = std::max(0.0, found.locks / std::max(found.cpu, 1e-9) * (1 - error));
  part.high = 1 + error;
  part.why = fmt::format("{} blocks at {} of CPU time for allocating and freeing one, {} of it in the allocator's locks; from a thread's own cache one costs about {}{}", count_text(found.blocks),
                         duration(found.cpu / std::max(found.blocks, 1.0)), percent(found.locks / std::max(found.cpu, 1e-9)), duration(2 * kCachedCall),
                         found.crossed >= kMostlyCrossed ? ", used again in batches next to nothing" : "");
  return part;
}

// Waiting has no CPU time: it lies in what the threads' clocks leave unexplained.
Gain gain_of_waits(const Model& model, const Contention& found) {
  WaitSaving saving;
  for (const auto& [thread, seconds] : found.by_thread) {
    const ThreadWaits* waits = model.waits.find(thread);
    if (waits) saving.seconds[thread] = std::min(waits->unexplained, found.waiting * seconds / std::max(found.cpu, 1e-9));
  }
  saving.low = 0;
  saving.why = fmt::format("{} inside malloc and free beyond the CPU time and queueing there, by clocks around {} sampled calls", duration(found.waiting), found.place.samples);
  return gain_of_waiting(model, saving);
}

Gain gain_of(const Model& model, const Contention& found, std::uint64_t samples) {
  Gain cpu = gain_of_cpu_seconds(model, found.by_thread, removable(found, samples)), waits = gain_of_waits(model, found);
  return waits.fraction > cpu.fraction ? waits : cpu;
}

std::vector<std::string> advice_for(const Model& model, const Contention& found) {
  std::vector<std::string> advice;
  if (found.crossed >= kMostlyCrossed)
    advice.push_back(fmt::format("{} of the blocks are freed by another thread than the one that allocated them, each free takes the lock of the other's arena: send blocks back in batches to be used again, or let the receiver own the memory", percent(found.crossed)));
  advice.push_back("keep blocks for each thread: a thread_local pool, or jemalloc or tcmalloc, whose caches hold sizes that glibc's does not (over 1032 bytes): LD_PRELOAD=libjemalloc.so.2");
  const std::string& allocator = model.recording.allocations.allocator;
  if (allocator.empty() || allocator == "glibc")
    advice.push_back(fmt::format("look whether M_ARENA_MAX, MALLOC_ARENA_MAX or glibc.malloc.arena_max limits the arenas: {} threads allocate, as many arenas keep them apart", found.threads));
  advice.push_back(fmt::format("allocate less where it is hot: {} made {} blocks; {}", found.place.culprit.function, count_text(found.place.blocks), sizes_text(found.place.sizes)));
  return advice;
}

Finding finding_of(const Model& model, const AllocatorTime& time, const Contention& found) {
  const double cpu = std::max(static_cast<double>(model.cpu.cpu_ns) * 1e-9, 1e-9);
  Finding finding;
  finding.gain = gain_of(model, found, time.allocator.samples);
  finding.cpu_seconds = found.cpu;
  finding.severity = severity_by_part(finding.gain.fraction);
  if (!found.seen_in_locks()) finding.severity = std::min(finding.severity, Severity::medium);
  finding.confidence = found.seen_in_locks() ? (time.allocator.samples >= 100 ? 0.9 : 0.7) : 0.5;
  finding.culprit = found.place.culprit;
  finding.title = fmt::format("{} threads wait for each other inside the allocator: {} of CPU time in it, {} of that in its locks", found.threads, percent(found.cpu / cpu), percent(found.locks / std::max(found.cpu, 1e-9)));
  finding.evidence = {seconds_evidence("CPU time inside the allocator", found.cpu), seconds_evidence("of that, in its locks", found.locks), seconds_evidence("time inside its calls, by clocks around samples", found.in_calls),
                      seconds_evidence("of that, neither running nor queued for a CPU", found.waiting), count_evidence("threads that allocate or free", static_cast<double>(found.threads), "count"),
                      fraction_evidence("blocks freed by another thread", found.crossed), count_evidence("blocks", std::round(found.blocks), "count"),
                      count_evidence("median size", std::round(found.place.sizes.size_quantile(0.5)), "bytes"), count_evidence("CPU samples", static_cast<double>(time.allocator.samples), "count")};
  if (!model.recording.allocations.allocator.empty()) finding.evidence.push_back(text_evidence("allocator", model.recording.allocations.allocator));
  finding.stacks = cpu_stacks(model, time.allocator.stacks, 4);
  for (StackEvidence& stack : allocation_stacks(model, found.place, 1)) finding.stacks.push_back(std::move(stack));
  finding.advice = advice_for(model, found);
  finding.verify = fmt::format("{}; the allocator's locks should be gone from the stacks, its CPU time should fall from {}", record_again(model), duration(found.cpu));
  return finding;
}

}  // namespace

RuleResult memory_allocator_contention(const Model& model) {
  if (!model.heap.missing.empty()) return RuleResult::cannot(model.heap.missing);
  if (const std::string because = too_few_samples(model); !because.empty()) return RuleResult::cannot(because);
  const AllocatorTime& time = model.allocator_time;
  const std::vector<AllocationPlace> places = allocation_places(model, [](const HeapSite&, const AllocationWork&) { return true; });
  const Contention found = contention_of(model, time, places);
  RuleResult result;
  result.fine = fmt::format("{} allocating, {} of the allocator's CPU time in its locks", plural(found.threads, "thread"), percent(found.locks / std::max(found.cpu, 1e-9)));
  const bool enough = found.threads >= 2 && found.blocks >= kFewestBlocks && time.allocator.samples >= kFewestSamples && found.place.samples >= kFewestTimed &&
                      found.cpu >= kWorthSaying * static_cast<double>(model.cpu.cpu_ns) * 1e-9;
  if (!enough || !(found.seen_in_locks() || found.seen_in_time())) return result;
  Finding finding = finding_of(model, time, found);
  if (finding.severity != Severity::info) result.findings.push_back(std::move(finding));
  return result;
}

}  // namespace tailback::analyzers
