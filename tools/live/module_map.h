// SPDX-License-Identifier: Apache-2.0
// The ELF objects that a process has mapped, as rows of a recording: so that addresses of a live process resolve as those of a dump do.
#pragma once
#include <sys/types.h>

#include <vector>

#include "analyzers/model/recording.h"

namespace tailback::tools {

// `pid`: of the process, or of a thread of it. Ascending by address, numbered from 1. Files of a process with another root folder go by the kernel's link to it.
std::vector<analyzers::ModuleRow> modules_of(pid_t pid);

}  // namespace tailback::tools
