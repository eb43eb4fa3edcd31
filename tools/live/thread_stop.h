// SPDX-License-Identifier: Apache-2.0
// Stops all threads of a process, copies their registers and stacks, and lets them go on: some milliseconds. Stacks are walked
// later, from the copies, because the walk takes some times as long. Whatever happens meanwhile, nothing stays stopped: the
// tracer is a thread of its own, and the kernel lets go of what a tracer that ends had seized.
#pragma once
#include <sys/types.h>
#include <sys/user.h>

#include <optional>
#include <vector>

#include "tools/live/proc_files.h"
#include "tools/live/target_memory.h"

namespace tailback::tools {

struct StoppedThread {
  TaskFacts facts;                            // from before the stop
  std::optional<user_regs_struct> registers;  // none: it did not stop in time, or has ended
  std::optional<SystemCall> call;             // that it was blocked in when it stopped; of one that did not stop, before
};

struct ThreadStop {
  std::vector<StoppedThread> threads;  // the first thread first, then by number
  double seconds = 0;                  // from the first that was seized until the last was let go
  int refusal = 0;                     // errno of the kernel's refusal when no thread could be seized
};

// Copies go to `memory`. `regions`: the map of the process.
ThreadStop stop_and_copy(pid_t pid, TargetMemory& memory, const std::vector<MappedRegion>& regions);

}  // namespace tailback::tools
