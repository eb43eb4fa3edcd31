// SPDX-License-Identifier: Apache-2.0
// A process whose threads all sleep in waits that only one of them could end: on locks, conditions, semaphores, barriers, bare futexes and
// pipes of its own, or for the end of another. Nobody is left who could wake any, so that all are suspected to wait for ever. Not said of
// it: a thread that waits for a time, a descriptor, a signal or a child, or whose memory another process shares. What can still wake one is
// the handler of a signal; the records say whether the program has any. Under the drain lock, on the helper thread.
//
// Twice, a quarter of a second apart, every thread is inside the same call for two seconds or more, and the kernel says that it sleeps
// there without a limit of time. What was told and turns out wrong is taken back.
#pragma once
#include "agent/capture/endpoints.h"
#include "agent/capture/thread.h"
#include "agent/engine/call_writer.h"
#include "agent/engine/drain.h"
#include "agent/engine/sleeping_stack.h"

namespace tailback::engine {

class StuckThreads {
 public:
  void init(capture::ThreadTable& threads, capture::Endpoints& endpoints, capture::Unwinder& unwinder, StackWriter& stacks, CallWriter& calls, Drain& drain, DumpFile& dump);
  // A new dump from now on.
  void begin(std::uint64_t session_start_ns);
  // Costs next to nothing while any thread does not wait like this.
  void look(std::uint64_t now_ns);

 private:
  static constexpr std::uint32_t kMost = 256;

  bool waits_inside(const capture::ThreadBlock& block, std::uint64_t now_ticks) const;
  std::uint64_t gather();  // of all threads and their waits; 0: not all wait like this
  bool kernel_agrees() const;
  capture::StackId stack_of(const capture::ThreadBlock& block);
  void write(std::uint64_t now_ns);

  capture::ThreadTable* threads_ = nullptr;
  capture::Endpoints* endpoints_ = nullptr;
  StackWriter* stacks_ = nullptr;
  CallWriter* calls_ = nullptr;
  Drain* drain_ = nullptr;
  DumpFile* dump_ = nullptr;
  SleepingStack sleeping_;
  std::uint64_t session_start_ns_ = 0;
  std::uint64_t before_ = 0, told_ = 0;  // signatures
  std::uint64_t number_ = 0;
  capture::ThreadBlock* members_[kMost] = {};
  std::uint32_t count_ = 0;
  bool main_is_in_ = false;
};

}  // namespace tailback::engine
