// SPDX-License-Identifier: Apache-2.0
// Walks the stacks of another process by its unwind tables, with libunwind over memory that was copied. The process need not
// stand still.
#pragma once
#include <sys/user.h>

#include <memory>
#include <vector>

#include "tools/live/target_memory.h"
#include "tools/live/target_modules.h"

namespace tailback::tools {

struct WalkedFrame {
  std::uint64_t address = 0;                   // exact where execution stands, return address - 1 for callers
  std::uint64_t code_start = 0, code_end = 0;  // the unwind range around it; 0: not known
};

struct WalkedStack {
  std::vector<WalkedFrame> frames;  // innermost first
  bool whole = false;               // it reached the thread's root
};

class RemoteUnwinder {
 public:
  RemoteUnwinder(TargetMemory& memory, const std::vector<TargetModule>& modules);
  ~RemoteUnwinder();
  RemoteUnwinder(const RemoteUnwinder&) = delete;
  RemoteUnwinder& operator=(const RemoteUnwinder&) = delete;

  WalkedStack walk(const user_regs_struct& registers);

 private:
  struct Space;
  std::unique_ptr<Space> space_;
};

}  // namespace tailback::tools
