// SPDX-License-Identifier: Apache-2.0
// For long, far more is resident than the program's live blocks need, because freed blocks lie between others and their pages cannot
// go back, or because the allocator keeps them.
//
// What is resident is not all heap: mapped files, stacks, memory mapped by hand. Wasted is therefore at most each of
//   resident - resident at the start - live        (all that could be heap and is not live)
//   freed since the highest live bytes, less what left the resident memory since its highest
//   what the allocator says it keeps free, where it was asked
// and the least of them is taken.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/rules/heap_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

constexpr double kLow = 0.25, kMedium = 0.5;  // of what is resident
constexpr double kLeastBytes = 8 << 20;
constexpr double kForLong = 0.5;              // of the recording
constexpr double kPage = 4096;

struct Waste {
  double bytes = 0, resident = 0, live = 0;   // means over the time in which it was wasted
  double loose = 0;                           // bytes, by the first bound alone
  double seconds = 0;
  double trimmable = 0;                       // the allocator's own figure, 0 not known
};

struct Moment { double t = 0, resident = 0, live = 0, peak_live = 0, peak_resident = 0, free_bytes = -1, trimmable = 0; };

double blocks_at(const HeapPoint& point) { return static_cast<double>(point.blocks > point.freed_blocks ? point.blocks - point.freed_blocks : 0); }

// The state of the heap at each look at the process.
std::vector<Moment> moments_of(const Model& model) {
  const AllocationTables& tables = model.recording.allocations;
  std::vector<Moment> moments;
  std::size_t point = 0, state = 0;
  double peak_live = 0, peak_resident = 0;
  for (const trace::ProcessState& process : model.recording.process) {
    const auto until = [&](const auto& rows, std::size_t& at) {
      while (at < rows.size() && rows[at].t <= process.t) ++at;
      return at ? &rows[at - 1] : nullptr;
    };
    peak_resident = std::max({peak_resident, static_cast<double>(process.rss_bytes), static_cast<double>(process.rss_peak_bytes)});
    const HeapPoint* heap = until(tables.heap, point);
    if (!heap) continue;
    Moment moment{static_cast<double>(process.t) * 1e-9, static_cast<double>(process.rss_bytes), 0, 0, peak_resident};
    moment.live = footprint(model, static_cast<double>(heap->live_bytes()), blocks_at(*heap));
    peak_live = std::max({peak_live, static_cast<double>(heap->peak_bytes), moment.live});
    moment.peak_live = peak_live;
    if (const AllocatorPoint* said = until(tables.allocator_states, state))
      moment.free_bytes = static_cast<double>(said->free_bytes), moment.trimmable = static_cast<double>(said->trimmable_bytes);
    moments.push_back(moment);
  }
  return moments;
}

double wasted_at(const Moment& moment, double start, double& loose) {
  loose = std::max(0.0, moment.resident - start - moment.live);
  double wasted = std::min(loose, moment.peak_live - moment.live - (moment.peak_resident - moment.resident));
  if (moment.free_bytes >= 0) wasted = std::min(wasted, moment.free_bytes);
  return std::max(0.0, wasted);
}

Waste waste_of(const Model& model) {
  const double start = model.recording.process.empty() ? 0 : static_cast<double>(model.recording.process.front().rss_bytes);
  const std::vector<Moment> moments = moments_of(model);
  Waste waste;
  double before = 0;
  for (const Moment& moment : moments) {
    const double seconds = std::min(moment.t, model.heap.times.back()) - before;
    before = moment.t;
    double loose = 0;
    const double wasted = wasted_at(moment, start, loose);
    if (seconds <= 0 || wasted < kLow * moment.resident || wasted < kLeastBytes) continue;
    waste.seconds += seconds;
    waste.bytes += wasted * seconds, waste.loose += loose * seconds, waste.resident += moment.resident * seconds, waste.live += moment.live * seconds;
    waste.trimmable += moment.trimmable * seconds;
  }
  for (double* sum : {&waste.bytes, &waste.loose, &waste.resident, &waste.live, &waste.trimmable}) *sum /= std::max(waste.seconds, 1e-9);
  return waste;
}

// Who holds the pages: of blocks much smaller than a page, most of those that live on.
const HeapPlace* holder_of(const std::vector<HeapPlace>& places) {
  const HeapPlace* holder = nullptr;
  double most = 0;
  for (const HeapPlace& place : places) {
    const double blocks = place.live_now() / std::max(place.mean_size(), 1.0);
    if (place.mean_size() < kPage && blocks > most) holder = &place, most = blocks;
  }
  return holder;
}

double freed_since_peak(const HeapPlace& place) { return std::max(0.0, place.peak_bytes - place.live_now()); }

const HeapPlace* left_by(const std::vector<HeapPlace>& places) {
  const auto most = std::max_element(places.begin(), places.end(), [](const HeapPlace& a, const HeapPlace& b) { return freed_since_peak(a) < freed_since_peak(b); });
  return most == places.end() ? nullptr : &*most;
}

// Part of the heap's pages on which nothing lives, if the small blocks alive are spread evenly: malloc_trim gives those back.
double empty_pages(const HeapPlace& holder, const Waste& waste) {
  const double blocks = holder.live_now() / std::max(holder.mean_size(), 1.0), pages = std::max(1.0, (waste.bytes + waste.live) / kPage);
  return std::exp(-blocks * (1 + holder.mean_size() / kPage) / pages);
}

struct Found {
  Waste waste;
  const HeapPlace *holder, *left;
  double trimmed = 0;  // bytes that malloc_trim would give back
};

Gain gain_of(const Found& found) {
  const Waste& waste = found.waste;
  Gain gain;
  gain.metric = "memory";
  gain.fraction = waste.bytes / waste.resident;
  gain.low = 0.8 * std::max(found.trimmed, 0.5 * waste.bytes) / waste.resident;
  gain.high = std::max(waste.bytes, waste.loose) / waste.resident;
  gain.how = fmt::format("resident memory that no live block needs ({}), at most what was freed since the peak and did not go back, as a part of what was resident meanwhile; high bound: all "
                         "that is resident beyond the start and the live blocks",
                         bytes_text(waste.bytes));
  return bounded(gain);
}

std::vector<std::string> advice_for(const Found& found) {
  std::vector<std::string> advice;
  const bool trims = found.trimmed >= 0.5 * found.waste.bytes;
  if (trims) advice.push_back(fmt::format("call malloc_trim(0) after the work that frees so much: about {} should go back; or lower M_TRIM_THRESHOLD and M_MMAP_THRESHOLD (mallopt)", bytes_text(found.trimmed)));
  if (found.holder && found.holder != found.left)
    advice.push_back(fmt::format("keep what lives long apart from what is freed: blocks of {} from {} lie between blocks of {} from {}; a pool, an arena or a vector of their own leaves the "
                                 "others' pages whole",
                                 bytes_text(found.holder->mean_size()), found.holder->culprit.function, bytes_text(found.left->mean_size()), found.left->culprit.function));
  if (!trims) advice.push_back(fmt::format("malloc_trim would give back about {} only: something lives on nearly every page", bytes_text(found.trimmed)));
  const bool sizes_differ = found.holder && (found.holder->mean_size() < 0.6 * found.left->mean_size() || found.holder->mean_size() > 1.6 * found.left->mean_size());
  if (sizes_differ) advice.push_back("an allocator that keeps sizes apart (jemalloc, mimalloc, tcmalloc; LD_PRELOAD to try) gives the freed pages back without a change of the program");
  return advice;
}

Finding finding_of(const Model& model, const Found& found) {
  const Waste& waste = found.waste;
  const HeapPlace& place = found.holder ? *found.holder : *found.left;
  Finding finding;
  finding.gain = gain_of(found);
  finding.severity = finding.gain.fraction >= kMedium && runs_on(model) ? Severity::medium : Severity::low;
  finding.confidence = model.recording.allocations.allocator_states.empty() ? 0.7 : 0.85;
  finding.culprit = place.culprit;
  finding.title = fmt::format("{} resident for {} of live blocks, for {}: {} freed by {} did not go back", bytes_text(waste.resident), bytes_text(waste.live), duration(waste.seconds),
                              bytes_text(waste.bytes), found.left->culprit.function);
  finding.evidence = {bytes_evidence("resident meanwhile (mean)", waste.resident), bytes_evidence("live blocks with headers", waste.live), bytes_evidence("freed and still resident", waste.bytes),
                      seconds_evidence("time in this state", waste.seconds), bytes_evidence("malloc_trim gives back about", found.trimmed)};
  if (found.holder) {
    finding.evidence.push_back(count_evidence("blocks alive from " + found.holder->culprit.function, std::round(found.holder->live_now() / std::max(found.holder->mean_size(), 1.0)), "count"));
    finding.evidence.push_back(bytes_evidence("their mean size", found.holder->mean_size()));
  }
  finding.evidence.push_back(bytes_evidence("freed of " + found.left->culprit.function, freed_since_peak(*found.left)));
  if (!model.recording.allocations.allocator.empty()) finding.evidence.push_back(text_evidence("allocator", model.recording.allocations.allocator));
  finding.stacks = allocation_stacks(model, place, 1);
  if (found.left != &place) {
    for (StackEvidence& stack : allocation_stacks(model, *found.left, 1)) finding.stacks.push_back(std::move(stack));
  }
  finding.advice = advice_for(found);
  finding.verify = fmt::format("{}; resident memory should fall towards the live bytes once they are freed", record_again(model));
  return finding;
}

}  // namespace

RuleResult memory_fragmentation(const Model& model) {
  if (!model.heap.missing.empty()) return RuleResult::cannot(model.heap.missing);
  if (model.recording.process.size() < 2 || model.heap.times.empty()) return RuleResult::cannot("resident memory was not looked at often enough (record longer)");
  RuleResult result;
  Found found{waste_of(model), nullptr, nullptr};
  if (found.waste.seconds < kForLong * model.timeline.wall_seconds) {
    result.fine = "what is resident beyond live blocks was there at the start, or is needed again soon";
    return result;
  }
  const std::vector<HeapPlace> places = heap_places(model);
  found.holder = holder_of(places), found.left = left_by(places);
  if (!found.left) return result;
  const double spread = found.holder ? empty_pages(*found.holder, found.waste) : 1;
  found.trimmed = std::min(found.waste.bytes, std::max(found.waste.trimmable, spread * found.waste.bytes));
  result.findings.push_back(finding_of(model, found));
  return result;
}

}  // namespace tailback::analyzers
