// SPDX-License-Identifier: Apache-2.0
// The calls that threads block in: their names, and what their arguments say of what is waited for.
#pragma once
#include <string>

#include "tools/live/proc_files.h"
#include "tools/live/target_memory.h"

namespace tailback::tools {

std::string call_name(long number);  // "epoll_wait"; "system call 451" when it is none of those that are known to block

// "/var/log/x", "127.0.0.1:80", "process 12", "100 s"; empty when there is nothing to say.
std::string object_of_call(const SystemCall& call, const std::string& task_folder, TargetMemory& memory);

}  // namespace tailback::tools
