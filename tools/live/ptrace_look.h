// SPDX-License-Identifier: Apache-2.0
// A look at a process in which no agent is: it is stopped for some milliseconds, its stacks are copied, and everything else is
// worked out when it runs again. Calls that the kernel does not restart after a stop (epoll_wait, semop, sigtimedwait) return
// EINTR to it, as after SIGSTOP and SIGCONT.
#pragma once
#include <sys/types.h>

#include "analyzers/model/symbols.h"
#include "analyzers/process_look.h"

namespace tailback::tools {

// Throws Failure, naming the cause and the remedy, when there is nothing to look at or the kernel forbids it.
analyzers::ProcessLook look_by_ptrace(pid_t pid, const analyzers::SymbolOptions& options);

}  // namespace tailback::tools
