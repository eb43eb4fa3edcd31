// SPDX-License-Identifier: Apache-2.0
// In which kind of loop the innermost instruction of a stack lies. Wraps the program's code and the loops found in it; looks
// only at what it is asked about. Nothing where the code is not at hand.
#pragma once
#include <map>
#include <optional>
#include <vector>

#include "analyzers/model/loops.h"
#include "analyzers/model/program_code.h"

namespace tailback::analyzers {

class LoopIndex {
 public:
  explicit LoopIndex(const Recording& recording) : recording_(recording), code_(recording) {}

  bool has_code(StackId node) { return code_.function_at(node) != nullptr; }
  // The shortest loop around the node's address; nullptr when it lies in none or the code is not at hand.
  const CodeLoop* loop_at(StackId node);

 private:
  const Recording& recording_;
  ProgramCode code_;
  std::map<std::uint64_t, std::vector<CodeLoop>> loops_;
};

}  // namespace tailback::analyzers
