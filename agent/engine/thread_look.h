// SPDX-License-Identifier: Apache-2.0
// What each thread does right now, into the dump, when somebody asks: where it is, what it waits for and since when, who has that, and
// which locks it has itself. Under the drain lock, on the helper thread. No thread is stopped or sent a signal: one that sleeps is read
// from outside, of one that runs the last CPU sample is told.
#pragma once
#include "agent/capture/thread.h"
#include "agent/engine/call_writer.h"
#include "agent/engine/drain.h"
#include "agent/engine/lock_writer.h"
#include "agent/engine/sleeping_stack.h"

namespace tailback::engine {

class ThreadLooker {
 public:
  void init(capture::ThreadTable& threads, capture::Unwinder& unwinder, StackWriter& stacks, Drain& drain, DumpFile& dump);

  // All live threads; `session_start_ns`: CLOCK_MONOTONIC. `calls` and `locks` are null where such things are not recorded.
  void all_threads(std::uint32_t request, std::uint64_t session_start_ns, std::uint64_t now_ns, CallWriter* calls, const LockWriter* locks);

 private:
  void thread(capture::ThreadBlock& block, trace::ThreadLook& look, std::uint64_t since, bool walk);
  void pending_call(const capture::ThreadBlock& block, trace::ThreadLook& look, std::uint64_t session_start_ns, const LockWriter* locks);
  void held_locks(const capture::ThreadBlock& block, std::uint32_t request, std::uint64_t session_start_ns);

  capture::ThreadTable* threads_ = nullptr;
  StackWriter* stacks_ = nullptr;
  Drain* drain_ = nullptr;
  DumpFile* dump_ = nullptr;
  SleepingStack sleeping_;
};

}  // namespace tailback::engine
