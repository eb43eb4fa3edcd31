// SPDX-License-Identifier: Apache-2.0
// Who is responsible for CPU time: for each stack the innermost frame of the program's own code, the line in it that led to
// the time, and the recognised pattern of library work below it. Time in a library is the caller's to change; time in the
// function itself is its own. No judgement of how much is too much.
#pragma once
#include <cstdint>
#include <utility>
#include <span>
#include <vector>

#include "analyzers/model/cpu_profile.h"
#include "analyzers/model/loop_index.h"
#include "analyzers/model/patterns.h"
#include "analyzers/model/recording.h"
#include "analyzers/model/symbols.h"

namespace tailback::analyzers {

struct Responsible {
  FunctionId owner = 0;    // innermost own function (may be inlined), 0 none on the stack
  FunctionId host = 0;     // the function whose machine code holds it
  FunctionId entry = 0;    // library function below the owner where the pattern begins, else the outermost; 0: the owner itself ran
  StackId node = 0;        // the node of the owner's frame
  std::uint32_t file = 0, line = 0;  // in the owner: where it was, or called the library
  PatternId pattern = PatternId::none;
};

class Attribution {
 public:
  // Looks at the stacks of `weights` and what lies above them.
  Attribution(const Recording& recording, const Symbols& symbols, std::span<const StackWeight> weights);
  const Responsible& of(StackId stack) const { return nodes_[stack < nodes_.size() ? stack : 0]; }

 private:
  struct FunctionFacts {
    PatternId pattern = PatternId::none;
    bool runtime = false, known = false;
  };
  Responsible step(const Responsible& outer, StackId node);
  const FunctionFacts& facts_of(FunctionId function);

  const Symbols& symbols_;
  std::vector<Responsible> nodes_;
  std::vector<FunctionFacts> functions_;
};

// CPU time of one host function by what it was doing.
struct CpuSite {
  std::vector<FunctionId> hosts;        // the one to name first; several only when they share the pattern
  PatternId pattern = PatternId::none;  // the dominating one
  std::uint64_t ns = 0;                 // all time the host is responsible for
  std::uint64_t pattern_ns = 0;         // of that, time of the pattern; equals ns without one
  std::uint64_t samples = 0;            // behind ns
  Frame culprit;                        // the owner and line with most of pattern_ns
  FunctionId entry = 0;                 // library function with most of pattern_ns, 0 none
  std::vector<StackWeight> stacks;      // of the pattern, descending
  std::vector<StackId> all_stacks;      // behind ns
  std::vector<std::pair<PatternId, std::uint64_t>> also;  // other patterns, descending
};

// Sites of a profile or of part of it, heaviest first. `loops` tells which of several inlined functions holds the hot loop,
// and searching loops of own code. `skip[stack]`: stacks that other findings explain; may be empty.
std::vector<CpuSite> cpu_sites(std::span<const StackWeight> stacks, const Symbols& symbols, const Attribution& attribution,
                               LoopIndex& loops, const std::vector<bool>& skip = {});

// Joins sites of one pattern, each of at least `least` nanoseconds: one cause, one suggestion. Named is the heaviest of them, or one
// that it calls and that has a third of the time.
void merge_same_pattern(std::vector<CpuSite>& sites, const Symbols& symbols, std::uint64_t least);

}  // namespace tailback::analyzers
