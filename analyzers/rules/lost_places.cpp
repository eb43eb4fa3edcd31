// SPDX-License-Identifier: Apache-2.0
#include "analyzers/rules/lost_places.h"

#include <algorithm>
#include <map>
#include <string>

#include "analyzers/model/allocating_frame.h"

namespace tailback::analyzers {

bool knows_what_is_lost(const Model& model) { return model.recording.allocations.leak_scan.completed; }

std::vector<LostPlace> lost_places(const Model& model) {
  std::vector<LostPlace> places;
  std::map<std::pair<std::string, std::string>, std::size_t> known;
  for (const LeakRow& leak : model.recording.allocations.leaks) {
    const Frame culprit = allocating_frame(model.symbols->stack(leak.stack));
    const auto [at, added] = known.emplace(std::pair(culprit.function, culprit.module), places.size());
    if (added) places.emplace_back().culprit = culprit;
    LostPlace& place = places[at->second];
    place.blocks += static_cast<double>(leak.blocks());
    place.bytes += static_cast<double>(leak.bytes());
    place.direct_blocks += static_cast<double>(leak.direct_blocks);
    place.stacks.push_back({leak.stack, static_cast<double>(leak.bytes())});
  }
  for (LostPlace& place : places)
    std::stable_sort(place.stacks.begin(), place.stacks.end(), [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
  std::stable_sort(places.begin(), places.end(), [](const LostPlace& a, const LostPlace& b) { return a.bytes > b.bytes; });
  return places;
}

std::unordered_map<StackId, double> lost_bytes(const Model& model) {
  std::unordered_map<StackId, double> lost;
  for (const LeakRow& leak : model.recording.allocations.leaks) lost[leak.stack] += static_cast<double>(leak.bytes());
  return lost;
}

}  // namespace tailback::analyzers
