// SPDX-License-Identifier: Apache-2.0
// Kinds of calls that may block and of what they work on, derived from calls.def and endpoints.def. Depends on nothing; constants only.
#pragma once
#include <cstdint>

namespace tailback::trace {

enum class Call : std::uint16_t {
  none = 0,
#define CALL(number, name, group) name = number,
#include "agent/trace/calls.def"
#undef CALL
};

enum class CallGroup : std::uint8_t {
  none, input, output, copy, flush, metadata, connection, multiplex, sleep, lock, condition, semaphore, barrier, join, futex, child, file_lock, lookup, memory, hold
};

enum class EndpointKind : std::uint8_t {
#define ENDPOINT(number, name) name = number,
#include "agent/trace/endpoints.def"
#undef ENDPOINT
};

// Of endpoints.
inline constexpr std::uint32_t kLoopback = 1, kSynchronous = 2, kNonBlocking = 4, kNoDelay = 8, kOwnPipe = 32;

// Whether the object of a call is an endpoint; otherwise it is an address, or nothing.
constexpr bool works_on_endpoint(CallGroup group) {
  return group == CallGroup::input || group == CallGroup::output || group == CallGroup::copy || group == CallGroup::flush ||
         group == CallGroup::metadata || group == CallGroup::connection || group == CallGroup::file_lock;
}

constexpr CallGroup group_of(Call call) {
  switch (call) {
#define CALL(number, name, group) \
  case Call::name: return CallGroup::group;
#include "agent/trace/calls.def"
#undef CALL
    case Call::none: break;
  }
  return CallGroup::none;
}

// Calls between which a thread does one piece of work: whoever comes back from one has waited for work, for time, or for others.
constexpr bool ends_a_turn(Call call) {
  if (call == Call::cond_signal || call == Call::cond_broadcast || call == Call::sem_post || call == Call::futex_wake || call == Call::thread_exit) return false;
  switch (group_of(call)) {
    case CallGroup::multiplex: case CallGroup::sleep: case CallGroup::condition: case CallGroup::semaphore: case CallGroup::barrier: case CallGroup::join:
    case CallGroup::futex: case CallGroup::child: case CallGroup::input: return true;
    default: return call == Call::accept;
  }
}

// The kind under which random acquisitions are told of the locks that a call waits for.
constexpr Call hold_of(Call lock) {
  return lock == Call::mutex_lock ? Call::mutex_hold : lock == Call::spin_lock ? Call::spin_hold : Call::rwlock_hold;
}
// What is told of event loops instead of a call.
constexpr bool is_of_loop(Call call) { return call == Call::loop_turn || call == Call::loop_late; }
constexpr bool is_hold(Call call) { return call == Call::mutex_hold || call == Call::rwlock_hold || call == Call::spin_hold; }

// "?" for a number that this version does not know.
constexpr const char* name_of(Call call) {
  switch (call) {
#define CALL(number, name, group) \
  case Call::name: return #name;
#include "agent/trace/calls.def"
#undef CALL
    case Call::none: break;
  }
  return "?";
}

constexpr const char* name_of(EndpointKind kind) {
  switch (kind) {
#define ENDPOINT(number, name) \
  case EndpointKind::name: return #name;
#include "agent/trace/endpoints.def"
#undef ENDPOINT
  }
  return "?";
}

}  // namespace tailback::trace
