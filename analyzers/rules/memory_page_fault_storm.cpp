// SPDX-License-Identifier: Apache-2.0
// Large blocks that the allocator, or the program itself, maps for each request and unmaps after it: every page of each faults anew, is
// cleared by the kernel and given back. The faults are counted by the kernel for each thread; the heap says whose pages they are.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/model/thread_load.h"
#include "analyzers/rules/allocation_places.h"
#include "analyzers/rules/call_places.h"
#include "analyzers/rules/mapping_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

constexpr double kPaged = 0.5;             // of a site's blocks are large
constexpr double kFewestBlocks = 50;
constexpr double kTurnover = 10;           // times the most that lived of them at once
constexpr double kFewestFaults = 20'000;
constexpr double kShareOfFaults = 0.2;     // of all minor faults of the process
constexpr double kLeastFault = 100e-9;     // seconds: entering the kernel and clearing 4 KiB, where nothing else is known
constexpr double kKept = 0.03;             // of the cost, when the buffer is kept
constexpr double kMostThreshold = 32 << 20;  // bytes: glibc's greatest M_MMAP_THRESHOLD (mallopt(3))

struct Storm {
  AllocationPlace place;
  bool by_hand = false;                    // the program calls mmap itself
  double pages = 0, faults = 0;            // pages of the blocks; minor faults of all threads
  double system = 0, other_calls = 0;      // seconds of all threads; of that, by calls on files and the like
  double share = 0;                        // of the faults that are these pages'
  ThreadSeconds seconds;                   // that go with them

  double total() const { return total_of(seconds); }
};

struct KernelShare { double system = 0, faults = 0; };

KernelShare kernel_share(const ThreadTable::Row& row) {
  if (row.states.empty()) return {};
  constexpr std::uint64_t kFoundLate = 2;
  const ThreadCounters zero{};
  const ThreadCounters& first = (row.flags & kFoundLate) && row.states.size() > 1 ? row.states.front() : zero;
  const auto grown = [](std::uint64_t from, std::uint64_t to) { return to > from ? static_cast<double>(to - from) : 0; };
  return {grown(first.system_ns, row.states.back().system_ns) * 1e-9, grown(first.minor_faults, row.states.back().minor_faults)};
}

// What calls on files, pipes and sockets took in the kernel, at most.
double time_in_calls(const Model& model) {
  double seconds = 0;
  for (const CallSite& site : model.waits.sites)
    if (trace::works_on_endpoint(trace::group_of(site.key.call))) seconds += std::max(0.0, site.seconds - site.blocked_seconds);
  return seconds;
}

Storm storm_of(const Model& model, const AllocationPlace& place, bool by_hand) {
  Storm storm{place, by_hand};
  const double page = model.recording.machine.page_size ? static_cast<double>(model.recording.machine.page_size) : 4096;
  storm.pages = place.bytes / page;
  ThreadSeconds faults;
  double system = 0;
  for (const ThreadTable::Row& row : model.recording.threads.rows) {
    const KernelShare kernel = kernel_share(row);
    storm.faults += kernel.faults, system += kernel.system;
    storm.seconds[row.id] = kernel.system;
    faults[row.id] = kernel.faults;
  }
  storm.system = system;
  storm.other_calls = std::min(system, time_in_calls(model));
  storm.share = storm.faults > 0 ? std::min(1.0, storm.pages / storm.faults) : 0;
  // A thread's system time beside the calls is faults, mapping and unmapping; it goes by the thread's part of the faults.
  const double left = system > 0 ? 1 - storm.other_calls / system : 0;
  for (auto& [thread, seconds] : storm.seconds) seconds = std::max(seconds * left * storm.share, 0.0) * (faults[thread] > 0);
  return storm;
}

bool is_storm(const Model& model, const Storm& storm) {
  return storm.place.function != 0 && storm.place.blocks >= kFewestBlocks && storm.place.bytes >= kTurnover * std::max(1.0, storm.place.live_bytes) &&
         storm.place.bytes >= kTurnover * std::max(1.0, model.heap.peak_bytes) / 2 && storm.faults >= kFewestFaults && storm.share >= kShareOfFaults && storm.system > 0;
}

Gain gain_of(const Model& model, const Storm& storm) {
  const double total = std::max(storm.total(), 1e-9), faults = storm.share * storm.faults;
  Removable part;
  part.expected = 1 - kKept;
  part.low = std::min(part.expected, (1 - kKept) * faults * kLeastFault / total);
  part.high = std::max(1.0, (storm.system * storm.share) / total);
  part.why = fmt::format("{} faults on the {} pages of {} blocks, {} of system time each, mapping and unmapping included; a buffer that is kept faults once", count_text(faults), count_text(storm.pages),
                         count_text(storm.place.blocks), duration(total / std::max(faults, 1.0)));
  return gain_of_cpu_seconds(model, storm.seconds, part);
}

// Where the pages are touched: time below the function that has the block.
std::vector<StackWeight> stacks_below(const Model& model, FunctionId function) {
  std::vector<StackWeight> below;
  const auto& nodes = model.recording.nodes;
  std::vector<std::uint8_t> state(nodes.size());  // parents before children: 1 below it
  for (StackId id = 1; id < nodes.size(); ++id) {
    state[id] = state[nodes[id].parent];
    if (state[id] || nodes[id].kind != 0) continue;
    for (const SymbolFrame& frame : model.symbols->frames(id)) state[id] |= frame.function == function;
  }
  for (const StackWeight& weight : model.cpu.stacks)
    if (weight.stack < state.size() && state[weight.stack]) below.push_back(weight);
  return below;
}

std::vector<std::string> advice_for(const Storm& storm) {
  const double size = storm.place.sizes.size_quantile(0.99);
  const double mean = storm.place.mean_bytes();
  std::vector<std::string> advice = {fmt::format("keep the buffer of {} and use it again (member, thread_local, or a few of them in a list): {} blocks of {} were mapped, touched and unmapped", storm.place.culprit.function,
                                                 count_text(storm.place.blocks), bytes_text(mean))};
  if (storm.by_hand) {
    advice.push_back("what must be given back in between: madvise(MADV_FREE) leaves the pages until memory is short; where new ones are needed, MAP_POPULATE takes their faults at once, and huge pages make them fewer");
    return advice;
  }
  const double threshold = std::exp2(std::ceil(std::log2(std::max(size, mean) * 1.001)));
  if (threshold <= kMostThreshold)
    advice.push_back(fmt::format("without a change of code: GLIBC_TUNABLES=glibc.malloc.mmap_threshold={:.0f}:glibc.malloc.trim_threshold={:.0f}, or mallopt(M_MMAP_THRESHOLD, ...) and mallopt(M_TRIM_THRESHOLD, ...), so that "
                                 "such blocks come from the heap and their pages stay", threshold, 2 * threshold));
  else advice.push_back("blocks above 32 MiB are always mapped by glibc: only keeping them helps; huge pages (madvise(MADV_HUGEPAGE)) make the faults fewer");
  advice.push_back("do not clear what is overwritten anyway: std::make_unique_for_overwrite, or malloc instead of calloc and memset");
  return advice;
}

Finding finding_of(const Model& model, const Storm& storm, Gain gain) {
  const double faults = storm.share * storm.faults;
  Finding finding;
  finding.severity = severity_by_part(gain.fraction);
  finding.confidence = storm.share >= 0.5 ? 0.9 : 0.7;
  finding.title = fmt::format("{} maps, touches and unmaps {} blocks of {}: {} page faults, {} of system time", storm.place.culprit.function, count_text(storm.place.blocks), bytes_text(storm.place.mean_bytes()),
                              count_text(faults), duration(storm.total()));
  finding.gain = std::move(gain);
  finding.cpu_seconds = storm.total();
  finding.culprit = storm.place.culprit;
  finding.evidence = {count_evidence("blocks", std::round(storm.place.blocks), "count"), count_evidence("mean size", std::round(storm.place.mean_bytes()), "bytes"), count_evidence("pages of the blocks", std::round(storm.pages), "count"),
                      count_evidence("minor faults of the process", std::round(storm.faults), "count"), fraction_evidence("of them, on these blocks", storm.share), seconds_evidence("system time", storm.system),
                      seconds_evidence("of that, for these blocks", storm.total()), seconds_evidence("one fault, mapping and unmapping included", storm.total() / std::max(faults, 1.0)),
                      seconds_evidence("inside the allocating and freeing calls, by clocks around samples", storm.place.cost_seconds())};
  finding.stacks = cpu_stacks(model, stacks_below(model, storm.place.function), 3);
  for (StackEvidence& stack : allocation_stacks(model, storm.place, 1)) finding.stacks.push_back(std::move(stack));
  finding.advice = advice_for(storm);
  finding.verify = fmt::format("{}; the minor faults should fall from {} to about {}", record_again(model), count_text(storm.faults), count_text(storm.faults - faults + storm.place.mean_bytes() / 4096));
  return finding;
}

}  // namespace

RuleResult memory_page_fault_storm(const Model& model) {
  if (!model.heap.missing.empty()) return RuleResult::cannot(model.heap.missing);
  if (!model.heap.facts.costs) return RuleResult::cannot("the profile does not tell how large single blocks were, nor what pages faulted");
  const auto large = [](const HeapSite& site, const AllocationWork&) { return site.sample && site.sample->paged_blocks >= kPaged * std::max(site.sample->blocks, 1e-3); };
  RuleResult result;
  double blocks = 0;
  const auto look_at = [&](const AllocationPlace& place, bool by_hand) {
    blocks += place.blocks;
    const Storm storm = storm_of(model, place, by_hand);
    if (!is_storm(model, storm)) return;
    Gain gain = gain_of(model, storm);
    if (severity_by_part(gain.fraction) != Severity::info) result.findings.push_back(finding_of(model, storm, std::move(gain)));
  };
  for (const AllocationPlace& place : allocation_places(model, large)) look_at(place, false);
  for (const AllocationPlace& place : mapping_places(model)) look_at(place, true);
  result.fine = fmt::format("{} blocks of 128 KiB or more were allocated or mapped", count_text(blocks));
  return result;
}

}  // namespace tailback::analyzers
