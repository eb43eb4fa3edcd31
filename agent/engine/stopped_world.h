// SPDX-License-Identifier: Apache-2.0
// Looks, between two ticks, whether all threads of the program but one wait since the same moment, and are let go together: the signature of a
// runtime that stops the world, whatever it is called. Reads what the threads say of the call they are inside of; sends and locks
// nothing. On the helper thread.
#pragma once
#include "agent/capture/thread.h"
#include "agent/trace/events.h"

namespace tailback::engine {

class StoppedWorld {
 public:
  void begin(const capture::ThreadTable& threads, std::uint64_t session_start_ns);
  // Now; the look before was at `last_ns` (both CLOCK_MONOTONIC). True: `told` says what is over.
  bool look(std::uint64_t last_ns, std::uint64_t now_ns, trace::WorldStopped& told);

 private:
  static constexpr std::uint32_t kMostThreads = 64;  // programs with more are not looked at
  struct Waiter {
    std::uint32_t slot;
    std::uint64_t id, since;  // ticks
  };

  bool still_waits(const Waiter& waiter) const;
  void find(std::uint64_t now_ns);

  const capture::ThreadTable* threads_ = nullptr;
  std::uint64_t session_start_ns_ = 0;
  Waiter waiters_[kMostThreads]{};
  std::uint32_t count_ = 0;  // 0: the world goes on
  std::uint64_t begin_ns_ = 0, runner_ = 0;
};

}  // namespace tailback::engine
