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
// Points to a word of its own until the session starts, and in a dormant process.
extern std::atomic<std::uint32_t>* master_switch;

// Its bits. Watching: dormant, until a call takes long.
inline constexpr std::uint32_t kRecording = 1, kTimingCalls = 2, kWatchingCalls = 4, kTimingLocks = 8;

inline bool recording() { return master_switch->load(std::memory_order_acquire) & kRecording; }
inline bool timing_calls() { return master_switch->load(std::memory_order_acquire) & (kTimingCalls | kWatchingCalls); }

inline bool timing_locks() { return master_switch->load(std::memory_order_acquire) & kTimingLocks; }

// While nothing is recorded: whether calls are watched.
void switch_off(bool watching_calls);

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
