// SPDX-License-Identifier: Apache-2.0
#include "analyzers/rules/growing_places.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>

#include <fmt/format.h>

#include "analyzers/rules/lost_places.h"

namespace tailback::analyzers {
namespace {

constexpr double kLeastGrown = 64 * 1024;                 // bytes
constexpr double kFewestBlocks = 20, kFewestLarge = 6, kLarge = 64 * 1024;
constexpr double kBeyondDoubt = 3;                        // standard deviations, with samples
constexpr double kFreed = 0.05;                           // of the blocks of a place: it does free them
constexpr double kSoon = 0.05;                            // of the recording
constexpr double kMostReleased = 0.5;

double deviation_of(const HeapPlace& place, double part_bytes) {
  return place.bytes > 0 ? std::sqrt(place.variance * std::clamp(part_bytes / place.bytes, 0.0, 1.0)) : 0;
}

double released_of(const HeapPlace& place) {
  double left = 0;
  for (const HeapSite* site : place.sites) left += site->live_bytes();
  return std::max(0.0, place.live_now() - left);
}

// What the agent's search of the program's memory says of the blocks alive in the end; unknown when there was none.
Fate fate_by_search(const Model& model, const HeapPlace& place) {
  constexpr double kMostlyLost = 0.5;
  if (!knows_what_is_lost(model)) return Fate::unknown;
  const std::unordered_map<StackId, double> by_stack = lost_bytes(model);
  double lost = 0;
  for (const HeapSite* site : place.sites)
    if (const auto at = by_stack.find(site->stack); at != by_stack.end()) lost += at->second;
  return lost >= kMostlyLost * place.live_now() ? Fate::lost : Fate::kept;
}

// What the blocks of a growing place are: by the search where there was one, else as far as sums tell.
Fate fate_of(const Model& model, const GrowingPlace& growing) {
  const HeapPlace& place = growing.place;
  if (const Fate searched = fate_by_search(model, place); searched != Fate::unknown) return searched;
  if (place.in_container || growing.released_at_end >= kMostReleased * place.live_now()) return Fate::kept;
  const bool soon = growing.life > 0 ? growing.life <= kSoon * model.heap.times.back() : true;
  return growing.freed_part >= kFreed && soon ? Fate::lost : Fate::unknown;
}

GrowingPlace examined(const Model& model, HeapPlace place) {
  GrowingPlace growing;
  growing.growth = growth_of(model.heap.times, place.live, deviation_of(place, place.live_now()));
  growing.released_at_end = released_of(place);
  const double freed = std::max(0.0, place.freed_bytes - growing.released_at_end);
  growing.freed_part = place.bytes > 0 ? freed / place.bytes : 0;
  growing.life = place.lifetimes.duration_quantile(0.5) * 1e-9;
  growing.place = std::move(place);
  growing.fate = fate_of(model, growing);
  return growing;
}

bool is_worth(const GrowingPlace& growing) {
  const HeapPlace& place = growing.place;
  const double grown = growing.growth.grown(), blocks = grown / std::max(place.mean_size(), 1.0);
  const bool many = blocks >= (place.mean_size() >= kLarge ? kFewestLarge : kFewestBlocks);
  return growing.growth.steady && grown >= kLeastGrown && many && grown >= kBeyondDoubt * deviation_of(place, grown);
}

void join(HeapPlace& into, const HeapPlace& from) {
  into.sites.insert(into.sites.end(), from.sites.begin(), from.sites.end());
  into.blocks += from.blocks, into.bytes += from.bytes, into.freed_blocks += from.freed_blocks, into.freed_bytes += from.freed_bytes;
  into.peak_bytes += from.peak_bytes, into.variance += from.variance;
  into.in_container |= from.in_container;
  into.lifetimes.add(from.lifetimes);
  for (std::size_t i = 0; i < into.live.size(); ++i) into.live[i] += from.live[i];
}

// One finding for a function, not one for each of its calls of operator new.
std::vector<GrowingPlace> by_function(const Model& model, std::vector<GrowingPlace> places) {
  std::vector<GrowingPlace> joined;
  std::map<std::tuple<std::string, std::string, Fate>, std::size_t> known;
  for (GrowingPlace& growing : places) {
    const Frame& culprit = growing.place.culprit;
    const auto [at, added] = known.emplace(std::tuple(culprit.function, culprit.module, growing.fate), joined.size());
    if (added) {
      joined.push_back(std::move(growing));
      continue;
    }
    GrowingPlace& into = joined[at->second];
    const Fate fate = into.fate;
    join(into.place, growing.place);
    into = examined(model, std::move(into.place));
    into.fate = fate;
  }
  return joined;
}

}  // namespace

GrowingPlaces growing_places(const Model& model) {
  GrowingPlaces growing;
  growing.missing = model.heap.missing;
  if (!growing.missing.empty()) return growing;
  const Growth all = growth_of(model.heap.times, model.heap.live);
  if (!all.known) {
    growing.missing = fmt::format("the heap was looked at {} only; after the warm-up {} are needed (record longer)", plural(model.heap.times.size(), "time"), kFewestPoints);
    return growing;
  }
  growing.fastest = all.per_second;
  for (HeapPlace& place : heap_places(model)) {
    GrowingPlace one = examined(model, std::move(place));
    if (is_worth(one)) growing.places.push_back(std::move(one));
  }
  growing.places = by_function(model, std::move(growing.places));
  std::stable_sort(growing.places.begin(), growing.places.end(),
                   [](const GrowingPlace& a, const GrowingPlace& b) { return a.growth.per_second > b.growth.per_second; });
  return growing;
}

Severity severity_of_growth(const Model& model, double bytes_per_second, double grown, const Urgency& urgency) {
  constexpr double kMuch = 0.1;  // of what is resident, within the recording
  const std::optional<double> left = seconds_left(memory_limit(model), bytes_per_second);
  const bool much = grown >= kMuch * std::max(peak_resident(model), 1.0);
  if (left && *left < urgency.high && much) return Severity::high;
  return (left && *left < urgency.medium) || much ? Severity::medium : Severity::low;
}

std::string rate_text(const Growth& growth) {
  return fmt::format("{} (95 % interval {} to {})", each_second(growth.per_second), each_second(std::max(0.0, growth.low)), each_second(growth.high));
}

std::vector<Evidence> growth_evidence(const Model& model, const GrowingPlace& growing) {
  const HeapPlace& place = growing.place;
  std::vector<Evidence> evidence = {
      count_evidence("growth", growing.growth.per_second, "bytes/s"), count_evidence("growth, low bound (95 %)", std::max(0.0, growing.growth.low), "bytes/s"),
      count_evidence("growth, high bound (95 %)", growing.growth.high, "bytes/s"), bytes_evidence("grown after the warm-up", growing.growth.grown()),
      bytes_evidence("alive in the end", place.live_now()), count_evidence("blocks allocated", std::round(place.blocks), "count"),
      fraction_evidence("of them freed while the program worked", growing.freed_part), bytes_evidence("mean size of a block", place.mean_size())};
  if (growing.life > 0 && growing.freed_part > 0) evidence.push_back(seconds_evidence("median life of freed blocks", growing.life));
  if (growing.released_at_end > 0) evidence.push_back(bytes_evidence("freed when the program ended", growing.released_at_end));
  const MemoryLimit limit = memory_limit(model);
  if (const auto left = seconds_left(limit, growing.growth.per_second); left) {
    evidence.push_back(bytes_evidence(limit.name(), limit.bytes));
    evidence.push_back(seconds_evidence("time until it is used up at this rate", *left));
  }
  evidence.push_back(text_evidence("figures of the heap", how_known(model)));
  return evidence;
}

}  // namespace tailback::analyzers
