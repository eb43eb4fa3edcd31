// SPDX-License-Identifier: Apache-2.0
// What hooks of locks do around the original. A lock is tried first: only one that is busy is waited for, and timed; any other result of
// the try is the call's. The stack of a lock is walked before the wait, and what is told of giving it back is told afterwards, so that no
// critical section gets longer by it.
#pragma once
#include <errno.h>
#include <pthread.h>

#include "preload/call_timer.h"

namespace tailback::preload {

using capture::HeldLock;
using capture::Taking;
using capture::Waited;

inline std::uint64_t object_of(const volatile void* at) { return reinterpret_cast<std::uint64_t>(at); }

// What glibc's own word says about waiters; only read. It says so as well of a mutex that a thread has taken back at the end of a wait for a
// condition, and where another C library keeps something else there.
inline bool has_waiters(const pthread_mutex_t* mutex) { return __atomic_load_n(&mutex->__data.__lock, __ATOMIC_RELAXED) == 2; }

// Parts of glibc's __kind.
inline constexpr int kType = 3, kRobust = 16;
inline int kind_of(const pthread_mutex_t& mutex) { return __atomic_load_n(&mutex.__data.__kind, __ATOMIC_RELAXED); }

// The calling thread's block when locks are looked at.
inline ThreadBlock* watched_thread() { return capture::timing_locks() ? capture::thread_local_state.block : nullptr; }

// A robust mutex whose owner died is locked all the same.
inline bool is_taken(int error) { return error == 0 || error == EOWNERDEAD; }

// A lock that is busy; in `waited` what is known of the wait. If the thread itself has it, the session gets to see to it.
void begin_waiting(const LockTimer& timer, std::uint64_t lock, Taking taking);
template <class Wait>
int lock_slowly(Call call, std::uint64_t lock, Taking taking, Waited& waited, Wait&& wait) {
  const LockTimer timer(call, lock);
  begin_waiting(timer, lock, taking);
  const int error = wait();
  capture::contended_locks.end_wait(lock);
  waited = timer.done_with(error);
  return error;
}

// A lock was given back at `now`; `held`: what was known of it, its object 0 when nothing was.
void note_release(ThreadBlock& thread, std::uint64_t lock, const HeldLock& held, bool waiters, std::uint64_t now, std::uint64_t others_since);
template <class Unlock>
[[gnu::cold, gnu::noinline]] int unlock_and_tell(ThreadBlock& thread, std::uint64_t lock, bool waiters, Unlock unlock) {
  const HeldLock held = capture::gave_lock(thread.locks, lock);
  waiters = waiters && capture::contended_locks.waited_for(lock);
  if (!capture::timing_locks() || (!waiters && held.weight == 0)) return unlock();
  const std::uint64_t now = capture::tick_clock.now(), others_since = waiters ? capture::contended_locks.hand_over(lock, now) : 0;
  const int result = unlock();
  note_release(thread, lock, held, waiters, now, others_since);
  return result;
}

template <class Unlock>
[[gnu::always_inline]] inline int unlock_watched(std::uint64_t lock, bool waiters, Unlock unlock) {
  ThreadBlock* thread = capture::thread_local_state.block;
  if (!thread || (!waiters && capture::gave_plain_lock(thread->locks, lock))) [[likely]] return unlock();
  return unlock_and_tell(*thread, lock, waiters, unlock);
}

// A mutex that is given back inside a wait, and taken again at its end.
class GivenBack {
 public:
  GivenBack(pthread_mutex_t* mutex, std::uint64_t condition);
  void take_up(bool woken);

 private:
  void note_woken_in_vain();

  ThreadBlock* thread_;
  std::uint64_t condition_;
  HeldLock held_{};
};

}  // namespace tailback::preload
