// SPDX-License-Identifier: Apache-2.0
// Whether a process can be looked at from outside. What cannot is a Failure that names the cause and the remedy.
#pragma once
#include <sys/types.h>

#include <string>

namespace tailback::tools {

// Throws when there is no such process, when it is a kernel thread, has ended, or is not of this kind of machine.
void check_is_looked_at(pid_t pid);

// Why the kernel did not let it be stopped: `error` is its errno.
[[noreturn]] void throw_refused(pid_t pid, int error);

// Where its files are to be found from here: "", or "/proc/PID/root" when it sees others than we do.
std::string file_root(const std::string& task_folder);

}  // namespace tailback::tools
