// SPDX-License-Identifier: Apache-2.0
// What each thread did when somebody asked last (tailback stacks). Part of Recording.
#pragma once
#include <cstdint>
#include <vector>

#include "analyzers/model/call_tables.h"

namespace tailback::analyzers {

struct HeldLockRow {  // as in held_lock
  trace::Call call = trace::Call::none;
  std::uint64_t object = 0, since = 0;
  StackId stack = 0;
};

struct ThreadLookRow {  // as in thread_look
  ThreadId thread = 0;
  bool asleep = false;
  trace::Call call = trace::Call::none;
  std::uint64_t object = 0, since = 0;
  StackId stack = 0;
  std::uint64_t stack_t = 0;
  ThreadId owner = 0;
  StackId owner_stack = 0;
  bool for_a_while = false;
  std::vector<HeldLockRow> held;
};

struct LookTable {
  std::uint64_t request = 0, t = 0;  // 0: nobody asked
  std::vector<ThreadLookRow> threads;
};

}  // namespace tailback::analyzers
