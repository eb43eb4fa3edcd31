// SPDX-License-Identifier: Apache-2.0
// The function of the program, or of a library that is no plumbing between it and the kernel, in which a stack ends.
#pragma once
#include <unordered_map>

#include "analyzers/model/symbols.h"

namespace tailback::analyzers {

class ProgramFunctions {
 public:
  ProgramFunctions(const Recording& recording, const Symbols& symbols) : recording_(recording), symbols_(symbols) {}
  // Innermost first; the innermost of all where each is plumbing. Remembers what it has looked at; not for several threads.
  FunctionId innermost(StackId stack);

 private:
  bool is_plumbing(FunctionId function);
  const Recording& recording_;
  const Symbols& symbols_;
  std::unordered_map<FunctionId, bool> plumbing_;
};

}  // namespace tailback::analyzers
