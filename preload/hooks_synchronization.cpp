// SPDX-License-Identifier: Apache-2.0
// What threads wait on for each other besides locks: conditions, semaphores, barriers, once, the ends of threads, bare futexes.
#include <linux/futex.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <threads.h>

#include "preload/lock_call.h"
#include "preload/real.h"

using tailback::preload::CallTimer;
using tailback::preload::GivenBack;
using tailback::preload::object_of;
using tailback::trace::Call;

namespace {

// Calls that return an error number.
template <class Wait>
int wait_for(Call call, std::uint64_t what, Wait&& wait) {
  const CallTimer timer(call, what);
  const int error = wait();
  timer.done_with(error);
  return error;
}

template <class Wait>
int wait_on(pthread_cond_t* condition, pthread_mutex_t* mutex, Wait&& wait) {
  GivenBack given(mutex, object_of(condition));
  const int error = wait_for(Call::cond_wait, object_of(condition), wait);
  given.take_up(error == 0);
  return error;
}

template <class Wait>
int join(pthread_t thread, bool for_a_while, Wait&& wait) {
  const CallTimer timer(Call::thread_join, thread);
  if (for_a_while) timer.gives_up();
  const int error = wait();
  timer.done_with(error);
  return error;
}

// Negative with errno set.
template <class Wait>
int wait_for_semaphore(sem_t* semaphore, Wait&& wait) {
  tailback::capture::waited_for.note(object_of(semaphore));
  const CallTimer timer(Call::sem_wait, object_of(semaphore));
  const int result = wait();
  timer.done(result);
  return result;
}

// Tried first, as locks are; a request to cancel is heeded all the same, as POSIX has it. Not for waits with a limit of time, which glibc
// looks at whether the semaphore is free or not.
bool took_semaphore(sem_t* semaphore) {
  const int error = errno;
  TAILBACK_REAL_OF(pthread_testcancel)();
  if (TAILBACK_REAL_OF(sem_trywait)(semaphore) == 0) return true;
  errno = error;
  return false;
}

// As has_waiters of a mutex.
unsigned waiters_of(const pthread_cond_t* condition) { return __atomic_load_n(&condition->__data.__wrefs, __ATOMIC_RELAXED) >> 3; }

// Whether a signal would wake somebody, as glibc itself decides (nptl/pthread_cond_common.c): who was woken before and has not gone on yet
// counts among the waiters, but is not there for the next signal. Of a burst of signals all but the first few would seem to be heard.
bool has_waiters(const pthread_cond_t* condition) {
  if (waiters_of(condition) == 0) return false;
#if __GLIBC_PREREQ(2, 41)  // other counters
  return true;
#else
  std::uint64_t sequence, start;  // what else they hold in their lowest bit: which group is the older one, and a flag
  __atomic_load(reinterpret_cast<const std::uint64_t*>(&condition->__data.__wseq), &sequence, __ATOMIC_RELAXED);
  __atomic_load(reinterpret_cast<const std::uint64_t*>(&condition->__data.__g1_start), &start, __ATOMIC_RELAXED);
  const unsigned older = (sequence & 1) ^ 1;
  const auto left_in = [&](unsigned group) { return __atomic_load_n(&condition->__data.__g_size[group], __ATOMIC_RELAXED); };
  const unsigned came_later = static_cast<unsigned>((sequence >> 1) - (start >> 1)) - (__atomic_load_n(&condition->__data.__g1_orig_size, __ATOMIC_RELAXED) >> 2);
  return left_in(older) != 0 || came_later + left_in(older ^ 1) != 0;
#endif
}
bool has_waiters(const sem_t* semaphore) { return __atomic_load_n(reinterpret_cast<const std::uint64_t*>(semaphore), __ATOMIC_RELAXED) >> 32; }

// Before the call that wakes: afterwards the woken thread may already be gone on, and the object with it. Nobody waiting: work is brought
// to threads that are all busy.
void note_wake(Call call, const volatile void* what, std::uint64_t bytes = 0) {
  if (!tailback::capture::recording() || !tailback::capture::timing_locks()) return;
  const tailback::capture::Scope scope;
  if (scope.on() && scope.thread()) record_wake(*scope.thread(), call, object_of(what), bytes);
}
void note_signal(const pthread_cond_t* condition) { note_wake(has_waiters(condition) ? Call::cond_signal : Call::wake_nobody, condition); }
void note_broadcast(const pthread_cond_t* condition) {
  if (const unsigned waiters = waiters_of(condition)) note_wake(Call::cond_broadcast, condition, waiters);
}

}  // namespace

TAILBACK_HOOK int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
  return wait_on(condition, mutex, [&, real_wait = TAILBACK_REAL(pthread_cond_wait)] { return real_wait(condition, mutex); });
}

TAILBACK_HOOK int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, const timespec* until) {
  return wait_on(condition, mutex, [&, real_wait = TAILBACK_REAL(pthread_cond_timedwait)] { return real_wait(condition, mutex, until); });
}

TAILBACK_HOOK int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock, const timespec* until) {
  return wait_on(condition, mutex, [&, real_wait = TAILBACK_REAL(pthread_cond_clockwait)] { return real_wait(condition, mutex, clock, until); });
}

TAILBACK_HOOK int cnd_wait(cnd_t* condition, mtx_t* mutex) {
  const auto real_wait = TAILBACK_REAL(cnd_wait);
  GivenBack given(reinterpret_cast<pthread_mutex_t*>(mutex), object_of(condition));
  const CallTimer timer(Call::cond_wait, object_of(condition));
  const int result = real_wait(condition, mutex);
  timer.done_with(result == thrd_success ? 0 : EINVAL);
  given.take_up(result == thrd_success);
  return result;
}

TAILBACK_HOOK int cnd_timedwait(cnd_t* condition, mtx_t* mutex, const timespec* until) {
  const auto real_wait = TAILBACK_REAL(cnd_timedwait);
  GivenBack given(reinterpret_cast<pthread_mutex_t*>(mutex), object_of(condition));
  const CallTimer timer(Call::cond_wait, object_of(condition));
  const int result = real_wait(condition, mutex, until);
  timer.done_with(result == thrd_success ? 0 : result == thrd_timedout ? ETIMEDOUT : EINVAL);
  given.take_up(result == thrd_success);
  return result;
}

TAILBACK_HOOK int pthread_cond_signal(pthread_cond_t* condition) {
  note_signal(condition);
  return TAILBACK_REAL(pthread_cond_signal)(condition);
}

TAILBACK_HOOK int pthread_cond_broadcast(pthread_cond_t* condition) {
  note_broadcast(condition);
  return TAILBACK_REAL(pthread_cond_broadcast)(condition);
}

TAILBACK_HOOK int cnd_signal(cnd_t* condition) {
  note_signal(reinterpret_cast<pthread_cond_t*>(condition));
  return TAILBACK_REAL(cnd_signal)(condition);
}

TAILBACK_HOOK int cnd_broadcast(cnd_t* condition) {
  note_broadcast(reinterpret_cast<pthread_cond_t*>(condition));
  return TAILBACK_REAL(cnd_broadcast)(condition);
}

TAILBACK_HOOK int sem_post(sem_t* semaphore) {
  if (has_waiters(semaphore)) note_wake(Call::sem_post, semaphore);
  else if (tailback::capture::waited_for.may_hold(object_of(semaphore))) note_wake(Call::wake_nobody, semaphore);
  return TAILBACK_REAL(sem_post)(semaphore);
}

TAILBACK_HOOK int sem_wait(sem_t* semaphore) {
  if (tailback::capture::timing_locks() && took_semaphore(semaphore)) return 0;
  return wait_for_semaphore(semaphore, [&, real_wait = TAILBACK_REAL(sem_wait)] { return real_wait(semaphore); });
}

TAILBACK_HOOK int sem_timedwait(sem_t* semaphore, const timespec* until) {
  return wait_for_semaphore(semaphore, [&, real_wait = TAILBACK_REAL(sem_timedwait)] { return real_wait(semaphore, until); });
}

TAILBACK_HOOK int sem_clockwait(sem_t* semaphore, clockid_t clock, const timespec* until) {
  return wait_for_semaphore(semaphore, [&, real_wait = TAILBACK_REAL(sem_clockwait)] { return real_wait(semaphore, clock, until); });
}

// Another thread is in the routine: this one waits for it. (glibc: bit 0 of the word is set meanwhile, bit 1 when it is done.)
TAILBACK_HOOK int pthread_once(pthread_once_t* control, void (*routine)()) {
  const auto real_once = TAILBACK_REAL(pthread_once);
  if (!(__atomic_load_n(control, __ATOMIC_RELAXED) & 1)) return real_once(control, routine);
  return wait_for(Call::once, object_of(control), [&] { return real_once(control, routine); });
}

TAILBACK_HOOK void call_once(once_flag* control, void (*routine)()) {
  const auto real_once = TAILBACK_REAL(call_once);
  if (!(__atomic_load_n(reinterpret_cast<int*>(control), __ATOMIC_RELAXED) & 1)) return real_once(control, routine);
  const CallTimer timer(Call::once, object_of(control));
  real_once(control, routine);
  timer.done_with(0);
}

TAILBACK_HOOK int pthread_barrier_wait(pthread_barrier_t* barrier) {
  const auto real_wait = TAILBACK_REAL(pthread_barrier_wait);
  const CallTimer timer(Call::barrier_wait, object_of(barrier));
  const int result = real_wait(barrier);
  timer.done_with(result == PTHREAD_BARRIER_SERIAL_THREAD ? 0 : result);
  return result;
}

TAILBACK_HOOK int pthread_join(pthread_t thread, void** result) {
  return join(thread, false, [&, real_join = TAILBACK_REAL(pthread_join)] { return real_join(thread, result); });
}

TAILBACK_HOOK int pthread_timedjoin_np(pthread_t thread, void** result, const timespec* until) {
  return join(thread, true, [&, real_join = TAILBACK_REAL(pthread_timedjoin_np)] { return real_join(thread, result, until); });
}

TAILBACK_HOOK int pthread_clockjoin_np(pthread_t thread, void** result, clockid_t clock, const timespec* until) {
  return join(thread, true, [&, real_join = TAILBACK_REAL(pthread_clockjoin_np)] { return real_join(thread, result, clock, until); });
}

TAILBACK_HOOK int thrd_join(thrd_t thread, int* result) {
  const auto real_join = TAILBACK_REAL(thrd_join);
  const CallTimer timer(Call::thread_join, thread);
  const int joined = real_join(thread, result);
  timer.done_with(joined == thrd_success ? 0 : EINVAL);
  return joined;
}

TAILBACK_HOOK void thrd_yield() {
  const auto real_yield = TAILBACK_REAL(thrd_yield);
  const CallTimer timer(Call::yield);
  real_yield();
  timer.done_with(0);
}

// syscall(SYS_futex, ...) with an operation that waits or wakes (hooks_syscall.c). Where a program makes a lock of a futex, as Rust's
// standard library does, the word is 0 when it is free, 1 when it is taken, and 2 when somebody waits, who sleeps as long as it is 2
// (mutex2 of U. Drepper, "Futexes Are Tricky"). Other futexes are 2 at times as well: it is taken for a lock when it has been given on a few
// times by threads that had to wait for it themselves. Who holds such a lock is seen when he gives it on.
extern "C" {
extern long (*tailback_real_syscall)(long number, long a, long b, long c, long d, long e, long f);
}

namespace {

using tailback::capture::contended_locks;

constexpr long kTakenAndWaitedFor = 2;
constexpr std::uint32_t kSureOfLock = 4;  // times that it was given on by such threads

bool may_be_lock(long operation, long value) {
  const long command = operation & FUTEX_CMD_MASK;
  return static_cast<std::uint32_t>(value) == kTakenAndWaitedFor && (command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET) && tailback::capture::timing_locks();
}

bool is_lock(std::uint64_t futex) { return contended_locks.given_on_by_waiters(futex) >= kSureOfLock; }

template <class Wait>
long wait_for_lock(std::uint64_t futex, bool for_a_while, Wait wait) {
  using tailback::capture::Taking;
  long result = 0;
  tailback::preload::Waited waited;
  tailback::preload::lock_slowly(is_lock(futex) ? Call::futex_lock : Call::futex_wait, futex, for_a_while ? Taking::waiting_for_a_while : Taking::waiting, waited,
                                 [&] { return (result = wait()) < 0 ? errno : 0; });
  if (const auto* thread = tailback::preload::watched_thread(); thread && result == 0) contended_locks.note_waiter(futex, thread->id);
  return result;
}

}  // namespace

extern "C" {
long tailback_futex_wait(long at, long operation, long value, long timeout, long other, long mask) {
  const auto futex = static_cast<std::uint64_t>(at);
  tailback::capture::waited_for.note(futex);
  const auto wait = [=] { return tailback_real_syscall(SYS_futex, at, operation, value, timeout, other, mask); };
  if (may_be_lock(operation, value)) return wait_for_lock(futex, timeout != 0, wait);
  const CallTimer timer(Call::futex_wait, futex);
  const long result = wait();
  timer.done(result);
  return result;
}

// Recorded afterwards, when the kernel has said that somebody was woken: only the address is told, nothing is read there.
long tailback_futex_wake(long at, long operation, long count, long timeout, long other, long mask) {
  const auto futex = static_cast<std::uint64_t>(at);
  const auto wake = [=] { return tailback_real_syscall(SYS_futex, at, operation, count, timeout, other, mask); };
  auto* thread = contended_locks.waited_for(futex) ? tailback::preload::watched_thread() : nullptr;
  if (!thread) {
    const long woken = wake();
    if (woken > 0) note_wake(Call::futex_wake, reinterpret_cast<const volatile void*>(at));
    else if (woken == 0 && tailback::capture::waited_for.may_hold(futex)) note_wake(Call::wake_nobody, reinterpret_cast<const volatile void*>(at));
    return woken;
  }
  contended_locks.note_giver(futex, thread->id);
  const bool lock = is_lock(futex);
  const std::uint64_t now = tailback::capture::tick_clock.now(), others_since = contended_locks.hand_over(futex, now);
  const long woken = wake();
  if (lock) tailback::preload::note_release(*thread, futex, {}, true, now, others_since);
  else if (woken > 0) note_wake(Call::futex_wake, reinterpret_cast<const volatile void*>(at));
  return woken;
}
}
