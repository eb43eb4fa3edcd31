// SPDX-License-Identifier: Apache-2.0
// Which other process has the lock of a file that a thread waits for: the kernel knows (/proc/locks, proc(5)).
#pragma once
#include <string>

#include "analyzers/process_look.h"

namespace tailback::tools {

// To the objects of threads that wait for a file's lock: "/var/lib/x, held by process 12". Of a lock of the process itself, nothing.
void name_file_lock_owners(analyzers::ProcessLook& look);

struct FileLockWait {
  pid_t waiter = 0, owner = 0;
  std::uint64_t inode = 0;
};
std::vector<FileLockWait> file_lock_waits(const std::string& locks);  // text of /proc/locks

}  // namespace tailback::tools
