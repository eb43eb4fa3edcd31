// SPDX-License-Identifier: Apache-2.0
// Blocks that nothing in the program's memory referred to when it ended, as the agent's search found them (--alloc exact): by the
// function that allocated them. A block that only such blocks refer to counts with its own function.
#pragma once
#include <unordered_map>
#include <vector>

#include "analyzers/rules/wording.h"

namespace tailback::analyzers {

struct LostPlace {
  Frame culprit;                  // as of HeapPlace
  double blocks = 0, bytes = 0;
  double direct_blocks = 0;       // of them, those that no other lost block refers to
  struct Stack { StackId stack = 0; double bytes = 0; };
  std::vector<Stack> stacks;      // most first
};

// Whether the search was made and came to its end.
bool knows_what_is_lost(const Model& model);
// Most bytes first; empty as well when nothing is known.
std::vector<LostPlace> lost_places(const Model& model);
// Lost bytes by allocating stack.
std::unordered_map<StackId, double> lost_bytes(const Model& model);

}  // namespace tailback::analyzers
