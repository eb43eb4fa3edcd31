// SPDX-License-Identifier: Apache-2.0
// The ticket: the first line of every hook. It says whether the agent may look at this call (recording is on, and this
// thread is not already inside agent code) and is the required argument of whatever the hook then calls in the agent, so
// that forgetting the guard does not compile. Signal-safe, no system call, errno is never touched (syscalls.h).
#pragma once
#include <atomic>
#include <cstdint>

#include "agent/capture/thread.h"

namespace tailback::capture {

// The master switch: a word on a page that reads 0 in every forked child, however it was forked (MADV_WIPEONFORK).
// Points to a word that is 0 until the session starts.
extern std::atomic<std::uint32_t>* master_switch;

inline bool recording() { return master_switch->load(std::memory_order_acquire) != 0; }

class Scope {
 public:
  Scope() : on_(recording() && thread_local_state.in_agent == 0) { ++thread_local_state.in_agent; }
  ~Scope() { --thread_local_state.in_agent; }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  bool on() const { return on_; }
  ThreadBlock* thread() const { return thread_local_state.block; }

 private:
  bool on_;
};

}  // namespace tailback::capture
