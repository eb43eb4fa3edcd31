// SPDX-License-Identifier: Apache-2.0
// What can be said of each thread of a process that has no agent: it is stopped for some milliseconds and its stacks are walked by
// libunwind; what its threads wait for the kernel says.
#pragma once
#include "analyzers/process_look.h"

namespace tailback::tools {

// Throws Failure: no such process, or it may not be looked at.
analyzers::ProcessLook look_by_ptrace(pid_t pid, const analyzers::SymbolOptions& symbols);

}  // namespace tailback::tools
