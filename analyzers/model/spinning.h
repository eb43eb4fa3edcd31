// SPDX-License-Identifier: Apache-2.0
// CPU time spent waiting actively, and how it is known: machine code that cannot make progress by itself, or a function that
// does nothing but poll (yield, read a clock, try a lock). More than one rule must know it: time spun away is neither work
// to speed up nor a stage that is busy. Nothing is concluded from a tight profile alone.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "analyzers/model/attribution.h"
#include "analyzers/model/loop_index.h"
#include "analyzers/model/model.h"

namespace tailback::analyzers {

struct SpinSite {
  FunctionId owner = 0;
  Frame culprit;
  std::uint64_t ns = 0;
  double confidence = 0;
  std::string how;                   // "its loop reads memory that only another thread can change"
  std::string polled;                // function polled, empty for a loop
  bool has_pause = false;
  std::vector<StackWeight> stacks;   // descending
};

struct Spinning {
  std::vector<SpinSite> sites;       // descending ns
  std::vector<bool> stacks;          // by StackId: spinning
  std::uint64_t ns = 0;
  bool code_seen = false;            // code of at least one hot function could be read
};

Spinning find_spinning(const Model& model, const Attribution& attribution, LoopIndex& loops);

}  // namespace tailback::analyzers
