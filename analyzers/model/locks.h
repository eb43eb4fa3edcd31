// SPDX-License-Identifier: Apache-2.0
// Each lock of the program: who waited for it, who held others up meanwhile and what he did, how often and how long it was held.
// Waits and the time in which others were held up are exact; acquisitions and how long locks are held are estimated from random ones;
// what was done while holding is sampled (CPU) or exact (calls that blocked).
#pragma once
#include <cstdint>
#include <map>
#include <vector>

#include "analyzers/model/recording.h"

namespace tailback::analyzers {

// A part of a lock's figures that belongs to one stack.
struct LockPlace {
  StackId stack = 0;
  double seconds = 0, count = 0;
};

struct CallInside {  // calls that blocked while the lock was held
  CallKey key;
  StackId stack = 0;
  double seconds = 0, calls = 0;
};

struct Lock {
  bool of_interpreter() const { return kind == trace::Call::cond_wait; }  // added by add_interpreter_lock

  std::uint64_t address = 0;
  trace::Call kind = trace::Call::mutex_lock;  // the call that waits for it; of a lock for readers and writers the one with more waiting
  double waits = 0, wait_seconds = 0, longest_wait = 0;
  std::map<ThreadId, double> wait_by_thread;
  std::vector<LockPlace> waiters;          // most time first
  double hand_overs = 0, held_up_seconds = 0;  // given back while somebody waited; time in which holders held others up
  std::vector<LockPlace> holders;          // most of that time first
  double acquisitions = 0, held_seconds = 0;   // estimated
  LogHistogram holds;
  std::vector<LockPlace> users;            // where it was taken, by acquisitions, most first; seconds: held
  double cpu_inside = 0;                   // CPU seconds while it was held
  std::vector<LockPlace> working;          // of them, by stack, most first
  double blocked_inside = 0;
  std::vector<CallInside> calls_inside;    // most time first
};

struct Locks {
  static Locks build(const Recording& recording);
  std::vector<Lock> all;  // most waiting first, then most used
  const Lock* find(std::uint64_t address) const;
};

// What people call it: "mutex", "read-write lock", "spin lock"; of a condition, that of an interpreter (interpreter_lock.h).
const char* kind_of_lock(trace::Call call);
bool is_lock_call(trace::Call call);

}  // namespace tailback::analyzers
