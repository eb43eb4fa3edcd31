// SPDX-License-Identifier: Apache-2.0
// CPU time spent waiting actively, and how it is known: machine code that cannot make progress by itself, or a function that
// does nothing but poll (yield, read a clock, try a lock). More than one rule must know it: time spun away is neither work
// to speed up nor a stage that is busy. Nothing is concluded from a tight profile alone.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "analyzers/model/attribution.h"
#include "analyzers/model/cpu_profile.h"
#include "analyzers/model/recording.h"
#include "analyzers/model/symbols.h"

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
  std::vector<SpinSite> sites;       // of the program's own functions, descending ns
  std::vector<bool> stacks;          // by StackId: spinning, in a library's own threads as well
  bool code_seen = false;            // code of at least one hot function could be read

  bool at(StackId stack) const { return stack < stacks.size() && stacks[stack]; }
};

// `attribution`: of the profile's stacks.
Spinning find_spinning(const Recording& recording, const Symbols& symbols, const CpuProfile& cpu, const Attribution& attribution);

}  // namespace tailback::analyzers
