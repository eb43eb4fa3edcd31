// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/program_functions.h"

#include "analyzers/model/thread_kinds.h"

namespace tailback::analyzers {

bool ProgramFunctions::is_plumbing(FunctionId function) {
  const auto [at, added] = plumbing_.emplace(function, false);
  if (added) at->second = is_thread_plumbing(symbols_.function_name(function), symbols_.module_name(function));
  return at->second;
}

FunctionId ProgramFunctions::innermost(StackId stack) {
  for (StackId id = stack; id && id < recording_.nodes.size(); id = recording_.nodes[id].parent) {
    if (recording_.nodes[id].kind != 0) continue;
    for (const SymbolFrame& frame : symbols_.frames(id))
      if (frame.function && !is_plumbing(frame.function)) return frame.function;
  }
  return stack && stack < recording_.nodes.size() ? symbols_.frames(stack).front().function : 0;
}

}  // namespace tailback::analyzers
