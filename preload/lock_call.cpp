// SPDX-License-Identifier: Apache-2.0
#include "preload/lock_call.h"

#include "agent/capture/record_call.h"
#include "agent/capture/sampling.h"

namespace tailback::preload {

using capture::contended_locks;
using capture::tick_clock;

namespace {

bool holds(const capture::ThreadLocks& locks, std::uint64_t lock) {
  for (std::uint32_t i = 0; i < locks.count; ++i)
    if (locks.held[i].object == lock) return true;
  return false;
}

// Where the lock was taken. Nobody walked that stack unless the holder had waited himself; then it is the line, called from where the lock
// is given back: that may be a function further out, when giving back was the last that the other did (a tail call).
capture::StackId stack_of_holder(ThreadBlock& thread, const HeldLock& held) {
  if (held.stack) return held.stack;
  const capture::StackId outside = capture::stack_of_call(thread);
  return held.object && outside ? capture::sampling.unwinder->stacks().intern(outside, reinterpret_cast<std::uint64_t>(held.caller) - 1) : outside;
}

// Recursive ones do, those that check for errors say so.
bool lets_its_owner_in(Call call, std::uint64_t lock) {
  if (call != Call::mutex_lock) return false;
  const int type = kind_of(*reinterpret_cast<const pthread_mutex_t*>(lock)) & kType;
  return type == PTHREAD_MUTEX_RECURSIVE || type == PTHREAD_MUTEX_ERRORCHECK;
}

}  // namespace

void begin_waiting(const LockTimer& timer, std::uint64_t lock, Taking taking) {
  if (!timer.on()) return;
  contended_locks.begin_wait(lock, timer.begin());
  if (taking == Taking::waiting_for_a_while) return timer.gives_up();
  const ThreadBlock* thread = watched_thread();
  if (thread && holds(thread->locks, lock) && !lets_its_owner_in(timer.call(), lock)) engine::session.watch_deadlock();
}

void note_release(ThreadBlock& thread, std::uint64_t lock, const HeldLock& held, bool waiters, std::uint64_t now, std::uint64_t others_since) {
  const capture::Scope scope;
  if (!scope.on()) return;
  const capture::StackId holder = stack_of_holder(thread, held);
  if (held.weight) record_hold(thread, held.call, lock, held.since, now, held.weight, holder);
  if (!waiters) return;
  const std::uint64_t held_up_since = others_since == 0 ? now : std::max(others_since, held.since);
  record_call(thread, {.call = Call::unlock, .object = lock, .begin = std::min(held_up_since, now), .end = now, .stack = holder});
  if (capture::detail_span.holds(now)) tell_wake(thread, Call::unlock, lock, now);
}

GivenBack::GivenBack(pthread_mutex_t* mutex, std::uint64_t condition) : thread_(watched_thread()), condition_(condition) {
  if (!thread_) return;
  const std::uint64_t lock = object_of(mutex);
  held_ = capture::gave_lock(thread_->locks, lock);
  if (held_.woken && thread_->locks.woken_from == condition) note_woken_in_vain();
  const bool waiters = has_waiters(mutex) && contended_locks.waited_for(lock);
  if (!waiters && !held_.weight) return;
  const std::uint64_t now = tick_clock.now();
  note_release(*thread_, lock, held_, waiters, now, waiters ? contended_locks.hand_over(lock, now) : 0);
}

// It has not given the mutex back since it was woken: what it found there was nothing for it.
void GivenBack::note_woken_in_vain() {
  const capture::Scope scope;
  if (scope.on()) record_wake(*thread_, Call::cond_wait_again, condition_);
}

void GivenBack::take_up(bool woken) {
  if (held_.object == 0) return;
  thread_->locks.woken_from = condition_;
  held_.woken = woken;
  held_.since = 0, held_.weight = 0, held_.stack = 0;  // what comes is another time of holding it
  capture::take_up(thread_->locks, held_);
}

}  // namespace tailback::preload
