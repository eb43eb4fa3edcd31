// SPDX-License-Identifier: Apache-2.0
// What the hooks of poll, select and epoll know of a loop that comes back to them. Of the arguments only numbers: what a pointer leads to is
// the kernel's to look at first.
#pragma once
#include <poll.h>
#include <time.h>

#include "agent/capture/calls.h"

namespace tailback::preload {

// A wait for one descriptor is a wait for an answer, wherever it comes from.
inline capture::LoopWait poll_wait(nfds_t descriptors, std::int64_t timeout_ms, const void* caller) {
  return {trace::Call::poll, descriptors > 1 ? reinterpret_cast<std::uint64_t>(caller) : 0, timeout_ms};
}
// The kernel writes into both the sets and the time-out.
inline capture::LoopWait select_wait(const void* caller) { return {trace::Call::select, reinterpret_cast<std::uint64_t>(caller), -1}; }
inline capture::LoopWait epoll_wait_of(int epoll, std::int64_t timeout_ms) {
  return {trace::Call::epoll_wait, static_cast<std::uint64_t>(epoll) + 1, timeout_ms};
}

// Of a call that went well, so that the kernel has read it.
inline std::int64_t milliseconds(const timespec* timeout) {
  constexpr std::int64_t kLongest = 1'000'000'000;  // seconds; beyond, nobody waits for it
  if (!timeout || timeout->tv_sec > kLongest) return -1;
  return timeout->tv_sec * 1000 + timeout->tv_nsec / 1'000'000;
}

}  // namespace tailback::preload
