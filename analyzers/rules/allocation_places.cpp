// SPDX-License-Identifier: Apache-2.0
#include "analyzers/rules/allocation_places.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

namespace tailback::analyzers {
namespace {

// Two reads of the clock around a call add about one read to what they measure: 10 to 20 ns on current machines. At most half of
// what was measured, so that a cheap call never costs nothing.
constexpr double kTimeStamp = 15e-9, kMostOfIt = 0.5;

double less_time_stamps(double seconds, double calls) { return seconds - std::min(kMostOfIt * seconds, calls * kTimeStamp); }

std::vector<StackWeight> stacks_of(const Heap& heap) {
  std::vector<StackWeight> stacks;
  for (const HeapSite& site : heap.sites) stacks.push_back({site.stack, 1, 1});
  return stacks;
}

struct Gathering {
  AllocationPlace place;
  std::map<PatternId, double> patterns;
  double heaviest = -1;
};

void gather(const Model& model, const HeapSite& site, const Responsible& who, Gathering& into) {
  into.place.function = who.owner;
  into.place.add(site);
  into.patterns[who.pattern] += site.blocks;
  if (site.blocks <= into.heaviest) return;
  into.heaviest = site.blocks;
  into.place.culprit = who.owner ? model.symbols->frame(who.node, SymbolFrame{who.owner, who.file, who.line, who.owner != who.host}) : own_frame(model, site.stack);
}

std::string number_text(double value) { return value < 9.95 && std::fabs(value - std::round(value)) >= 0.05 ? fmt::format("{:.1f}", value) : fmt::format("{:.0f}", value); }

}  // namespace

void AllocationPlace::add(const HeapSite& site) {
  sites.push_back(&site);
  blocks += site.blocks, bytes += site.bytes, freed_blocks += site.freed_blocks, temporary += site.temporary, reallocations += site.reallocations;
  live_bytes += site.live_bytes();
  samples += site.samples;
  allocate_seconds += less_time_stamps(site.allocate_seconds, site.blocks);
  free_seconds += less_time_stamps(site.free_seconds, site.freed_blocks);
  if (!site.sample) return;
  sampled_blocks += site.sample->blocks, crossed_blocks += site.sample->crossed_blocks, paged_blocks += site.sample->paged_blocks;
  moved_bytes += site.sample->moved_bytes;
  sizes.add(site.sample->sizes);
  lifetimes.add(site.sample->lifetimes);
}

double AllocationPlace::short_lived(double seconds) const {
  if (blocks <= 0) return 0;
  double brief = 0;
  for (std::size_t i = 0; i < LogHistogram::kBuckets && std::ldexp(1e-9, static_cast<int>(i) + 1) <= seconds; ++i) brief += static_cast<double>(lifetimes.count(i));
  const double sampled = sampled_blocks > 0 ? std::min(1.0, brief / sampled_blocks) : 0;
  return std::max(sampled, std::min(1.0, temporary / blocks));
}

std::vector<AllocationPlace> allocation_places(const Model& model, const WantedSite& wanted) {
  const Attribution attribution(model.recording, *model.symbols, stacks_of(model.heap));
  AllocationFrames frames(model.recording, *model.symbols);
  std::map<FunctionId, Gathering> by_function;
  for (const HeapSite& site : model.heap.sites) {
    const Responsible who = frames.asking(attribution.of(site.stack));
    if (wanted(site, frames.below(who, site.stack))) gather(model, site, who, by_function[who.owner]);
  }
  std::vector<AllocationPlace> places;
  for (auto& [function, gathered] : by_function) {
    const auto most = std::max_element(gathered.patterns.begin(), gathered.patterns.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    gathered.place.pattern = most->first;
    places.push_back(std::move(gathered.place));
  }
  std::stable_sort(places.begin(), places.end(), [](const auto& a, const auto& b) { return a.blocks > b.blocks; });
  return places;
}

std::string count_text(double count) {
  if (count >= 1e9) return number_text(count * 1e-9) + " thousand million";
  if (count >= 1e6) return number_text(count * 1e-6) + " million";
  return count >= 1e4 ? number_text(count * 1e-3) + " thousand" : fmt::format("{:.0f}", count);
}

std::string sizes_text(const LogHistogram& sizes) {
  const double low = sizes.size_quantile(0.1), high = sizes.size_quantile(0.9);
  return fmt::format("most have {} to {}, half of them at most {}", bytes_text(low), bytes_text(high), bytes_text(sizes.size_quantile(0.5)));
}

std::vector<StackEvidence> allocation_stacks(const Model& model, const AllocationPlace& place, std::size_t most) {
  std::vector<const HeapSite*> sites = place.sites;
  std::stable_sort(sites.begin(), sites.end(), [](const HeapSite* a, const HeapSite* b) { return a->blocks > b->blocks; });
  std::vector<StackEvidence> evidence;
  for (std::size_t i = 0; i < sites.size() && i < most; ++i) evidence.push_back({"allocation", sites[i]->bytes, "bytes", model.symbols->stack(sites[i]->stack)});
  return evidence;
}

}  // namespace tailback::analyzers
