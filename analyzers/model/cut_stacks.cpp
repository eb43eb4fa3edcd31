// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/cut_stacks.h"

#include <algorithm>
#include <set>

namespace tailback::analyzers {

namespace {

// The outermost function known: what no unwind table leads out of.
FunctionId cut_at(const FunctionPath& path) { return path.empty() ? 0 : path.front(); }

FunctionPath shared_by_all(const std::vector<const FunctionPath*>& paths) {
  FunctionPath shared = paths.empty() ? FunctionPath{} : *paths.front();
  for (const FunctionPath* path : paths) shared.erase(std::mismatch(shared.begin(), shared.end(), path->begin(), path->end()).first, shared.end());
  return shared;
}

bool begins_with(const FunctionPath& path, const FunctionPath& beginning) {
  return std::mismatch(beginning.begin(), beginning.end(), path.begin(), path.end()).first == beginning.end();
}

}  // namespace

void CutStacks::see(std::uint64_t turn, const FunctionPath& path) {
  Turn& seen = turns_[turn];
  if (is_whole(path)) seen.whole.push_back(&path);
  else seen.cut_at.push_back(cut_at(path));
}

FunctionPath CutStacks::find_shared_by_most(FunctionId function) const {
  std::vector<std::pair<std::uint64_t, const FunctionPath*>> candidates;  // those that begin with `shared`
  std::size_t turns = 0;
  for (const auto& [turn, seen] : turns_) {
    if (seen.whole.empty() || std::find(seen.cut_at.begin(), seen.cut_at.end(), function) == seen.cut_at.end()) continue;
    ++turns;
    for (const FunctionPath* path : seen.whole) candidates.emplace_back(turn, path);
  }
  FunctionPath shared;
  for (;;) {
    std::map<FunctionId, std::set<std::uint64_t>> next;
    for (const auto& [turn, path] : candidates)
      if (path->size() > shared.size()) next[(*path)[shared.size()]].insert(turn);
    const auto most = std::max_element(next.begin(), next.end(), [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
    if (most == next.end() || 2 * most->second.size() <= turns) return shared;
    std::erase_if(candidates, [&](const auto& one) { return one.second->size() <= shared.size() || (*one.second)[shared.size()] != most->first; });
    shared.push_back(most->first);
  }
}

FunctionPath CutStacks::caller_of(std::uint64_t turn, const FunctionPath& cut) {
  const auto [known, added] = shared_by_most_.try_emplace(cut_at(cut));
  if (added) known->second = find_shared_by_most(cut_at(cut));
  const FunctionPath& most = known->second;
  const auto own = turns_.find(turn);
  if (own == turns_.end() || own->second.whole.empty()) return most;
  FunctionPath shared = shared_by_all(own->second.whole);
  return begins_with(most, shared) || (own->second.whole.size() < 2 && !begins_with(shared, most)) ? most : shared;
}

}  // namespace tailback::analyzers
