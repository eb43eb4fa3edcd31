// SPDX-License-Identifier: Apache-2.0
// What a recording knows of locks besides the calls that wait for them (call_tables.h): CPU time while one was held, the order in which
// locks were taken, deadlocks. Part of Recording.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "analyzers/model/call_tables.h"

namespace tailback::analyzers {

struct LockCpuRow {  // CPU time at one stack while a lock was held: the one taken last of several
  std::uint64_t lock = 0;
  StackId stack = 0;
  std::uint64_t weight_ns = 0;
};

struct LockOrderRow {  // as in lock_order
  std::uint64_t held = 0, taken = 0;
  ThreadId thread = 0;
  StackId held_stack = 0, taken_stack = 0;
  trace::Call held_call = trace::Call::none, taken_call = trace::Call::none;
  std::vector<std::uint64_t> gates;
  std::uint64_t first = 0, last = 0;
};

struct DeadlockMember {  // as in deadlock
  ThreadId thread = 0;
  trace::Call call = trace::Call::none;
  std::uint64_t object = 0, since = 0;
  StackId stack = 0;
  ThreadId owner = 0;
  StackId owner_stack = 0;
  std::uint64_t process = 0;  // not 0: another one has it
};

struct DeadlockRow {
  std::uint64_t t = 0;
  std::vector<DeadlockMember> members;  // each waits for the next, the last for the first
};

struct StuckMember {  // as in stuck_wait
  ThreadId thread = 0;
  trace::Call call = trace::Call::none;
  std::uint64_t object = 0, since = 0;
  StackId stack = 0;
};

struct StuckRow {  // all threads of the process sleep until one of them wakes another
  std::uint64_t t = 0;
  bool handlers = false;
  std::vector<StuckMember> members;
};

struct LockTables {
  std::vector<LockCpuRow> cpu;        // one for each lock and stack
  std::vector<LockOrderRow> orders;   // one for each pair and thread
  std::vector<DeadlockRow> deadlocks; // in the order in which they were found
  std::optional<StuckRow> stuck;      // at the end; nothing of those that came to nothing
};

}  // namespace tailback::analyzers
