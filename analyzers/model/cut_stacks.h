// SPDX-License-Identifier: Apache-2.0
// Stacks that end early, in assembly without unwind tables, and where they are likely to have been called from: what the whole stacks seen
// beside them tell.
#pragma once
#include <cstdint>
#include <map>
#include <vector>

#include "analyzers/model/symbols.h"

namespace tailback::analyzers {

// Functions of a stack, outermost first. Empty: nothing of it is known.
using FunctionPath = std::vector<FunctionId>;

class CutStacks {
 public:
  // A whole stack begins with `root`.
  explicit CutStacks(FunctionId root) : root_(root) {}

  bool is_whole(const FunctionPath& path) const { return !path.empty() && path.front() == root_; }

  // `turn`: stacks of one turn were seen beside each other. `path` has to outlive this object.
  void see(std::uint64_t turn, const FunctionPath& path);

  // The path of the caller of a stack cut in that turn, as deep as it is known; empty when nothing tells. It is what most of the turns
  // with such a stack share. Two whole stacks of the turn itself that share more, or something else, know better; one is an accident.
  // To be asked when all stacks were seen.
  FunctionPath caller_of(std::uint64_t turn, const FunctionPath& cut);

 private:
  struct Turn {
    std::vector<const FunctionPath*> whole;
    std::vector<FunctionId> cut_at;
  };

  FunctionPath find_shared_by_most(FunctionId cut_at) const;

  FunctionId root_;
  std::map<std::uint64_t, Turn> turns_;
  std::map<FunctionId, FunctionPath> shared_by_most_;  // those asked for
};

}  // namespace tailback::analyzers
