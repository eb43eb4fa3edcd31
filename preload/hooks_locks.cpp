// SPDX-License-Identifier: Apache-2.0
// Locks. What is done around the originals, and why: lock_call.h.
#include <sys/single_threaded.h>
#include <threads.h>

#include "preload/lock_call.h"
#include "preload/real.h"

namespace capture = tailback::capture;
using capture::Taking;
using capture::ThreadBlock;
using capture::Waited;
using tailback::preload::has_waiters;
using tailback::preload::is_taken;
using tailback::preload::kind_of;
using tailback::preload::kRobust;
using tailback::preload::kType;
using tailback::preload::lock_slowly;
using tailback::preload::object_of;
using tailback::preload::unlock_watched;
using tailback::preload::watched_thread;
using tailback::trace::Call;

namespace {

// Mutexes that are only looked at: a try that finds a robust one not recoverable leaves it locked (glibc 2.36), which waiting for it does
// not; and before there is a second thread glibc locks a normal one without the atomic operation that a try is.
bool is_only_looked_at(const pthread_mutex_t* mutex) {
  const int kind = kind_of(*mutex);
  return kind & kRobust || (__libc_single_threaded && (kind & kType) == PTHREAD_MUTEX_NORMAL);
}
bool is_only_looked_at(const volatile void*) { return false; }
bool looks_free(const pthread_mutex_t* mutex) { return __atomic_load_n(&mutex->__data.__lock, __ATOMIC_RELAXED) == 0; }
bool looks_free(const volatile void*) { return true; }

// glibc looks at the limits of time of read-write locks whether they are free or not, at those of mutexes only when they are busy: a try
// must not take what the call refuses.
constexpr long kSecondNs = 1'000'000'000;
bool is_refused(pthread_rwlock_t*, const timespec* until) { return !until || until->tv_nsec < 0 || until->tv_nsec >= kSecondNs; }
bool is_refused(pthread_rwlock_t* lock, clockid_t clock, const timespec* until) {
  return is_refused(lock, until) || (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC);
}
template <class... Arguments>
bool is_refused(Arguments...) {
  return false;
}

// All but the usual case: `error` is what trying it said.
template <class Wait>
[[gnu::noinline]] int lock_unusually(Call call, std::uint64_t lock, Taking taking, int error, const void* caller, Wait wait) {
  Waited waited;
  if (error == EBUSY) error = lock_slowly(call, lock, taking, waited, wait);
  ThreadBlock* thread = watched_thread();
  if (thread && is_taken(error)) capture::took_lock(*thread, call, lock, caller, taking, waited);
  return error;
}

// A thread whose next acquisition is none that is timed; not so where locks are not looked at, as the first one always is.
[[gnu::always_inline]] inline bool is_usual(const ThreadBlock* thread) { return thread && thread->locks.until_timed != 0; }

}  // namespace

// LOCK(hook, name, try, call, taking, parameters, arguments): a lock by its address, the function that tries it, and the one that waits.
#define LOCK(hook, name, tried, call, taking, parameters, arguments)                                                              \
  hook parameters {                                                                                                               \
    const void* caller = __builtin_return_address(0);                                                                             \
    ThreadBlock* thread = capture::thread_local_state.block;                                                                      \
    if ((!is_usual(thread) && !capture::timing_locks()) || is_refused arguments) [[unlikely]] return TAILBACK_REAL(name) arguments; \
    const int error = !is_only_looked_at(lock) ? TAILBACK_REAL(tried)(lock) : looks_free(lock) ? TAILBACK_REAL(name) arguments : EBUSY;   \
    if (error == 0 && is_usual(thread) && took_lone_lock(thread->locks, Call::call, object_of(lock), caller)) [[likely]] return 0; \
    return lock_unusually(Call::call, object_of(lock), Taking::taking, error, caller, [=] { return TAILBACK_REAL(name) arguments; }); \
  }
LOCK([[gnu::noinline]] static int watched_mutex_lock, pthread_mutex_lock, pthread_mutex_trylock, mutex_lock, waiting, (pthread_mutex_t * lock), (lock))
LOCK(TAILBACK_HOOK int pthread_mutex_timedlock, pthread_mutex_timedlock, pthread_mutex_trylock, mutex_lock, waiting_for_a_while, (pthread_mutex_t * lock, const timespec* until), (lock, until))
LOCK(TAILBACK_HOOK int pthread_mutex_clocklock, pthread_mutex_clocklock, pthread_mutex_trylock, mutex_lock, waiting_for_a_while, (pthread_mutex_t * lock, clockid_t clock, const timespec* until), (lock, clock, until))
LOCK(TAILBACK_HOOK int pthread_rwlock_rdlock, pthread_rwlock_rdlock, pthread_rwlock_tryrdlock, rwlock_rdlock, waiting, (pthread_rwlock_t * lock), (lock))
LOCK(TAILBACK_HOOK int pthread_rwlock_timedrdlock, pthread_rwlock_timedrdlock, pthread_rwlock_tryrdlock, rwlock_rdlock, waiting_for_a_while, (pthread_rwlock_t * lock, const timespec* until), (lock, until))
LOCK(TAILBACK_HOOK int pthread_rwlock_clockrdlock, pthread_rwlock_clockrdlock, pthread_rwlock_tryrdlock, rwlock_rdlock, waiting_for_a_while, (pthread_rwlock_t * lock, clockid_t clock, const timespec* until), (lock, clock, until))
LOCK(TAILBACK_HOOK int pthread_rwlock_wrlock, pthread_rwlock_wrlock, pthread_rwlock_trywrlock, rwlock_wrlock, waiting, (pthread_rwlock_t * lock), (lock))
LOCK(TAILBACK_HOOK int pthread_rwlock_timedwrlock, pthread_rwlock_timedwrlock, pthread_rwlock_trywrlock, rwlock_wrlock, waiting_for_a_while, (pthread_rwlock_t * lock, const timespec* until), (lock, until))
LOCK(TAILBACK_HOOK int pthread_rwlock_clockwrlock, pthread_rwlock_clockwrlock, pthread_rwlock_trywrlock, rwlock_wrlock, waiting_for_a_while, (pthread_rwlock_t * lock, clockid_t clock, const timespec* until), (lock, clock, until))
LOCK(TAILBACK_HOOK int pthread_spin_lock, pthread_spin_lock, pthread_spin_trylock, spin_lock, waiting, (pthread_spinlock_t * lock), (lock))
#undef LOCK

// Before there is a second thread nobody waits for a lock or is in nobody's way: it is not noted, but for one that the thread itself has.
TAILBACK_HOOK int pthread_mutex_lock(pthread_mutex_t* lock) {
  const auto known = TAILBACK_KNOWN(pthread_mutex_lock);
  return __libc_single_threaded && known && looks_free(lock) ? known(lock) : watched_mutex_lock(lock);
}

// TRY(name, call, type): who has tried a lock successfully holds it like any other.
#define TRY(name, call, type)                                                                                                           \
  TAILBACK_HOOK int name(type* lock) {                                                                                                  \
    const int error = TAILBACK_REAL(name)(lock);                                                                                        \
    ThreadBlock* thread = is_taken(error) ? watched_thread() : nullptr;                                                                 \
    if (thread) capture::took_lock(*thread, Call::call, object_of(lock), __builtin_return_address(0), Taking::trying);                  \
    return error;                                                                                                                       \
  }
TRY(pthread_mutex_trylock, mutex_lock, pthread_mutex_t)
TRY(pthread_rwlock_tryrdlock, rwlock_rdlock, pthread_rwlock_t)
TRY(pthread_rwlock_trywrlock, rwlock_wrlock, pthread_rwlock_t)
TRY(pthread_spin_trylock, spin_lock, pthread_spinlock_t)
#undef TRY

[[gnu::noinline, gnu::cold]] static int first_mutex_unlock(pthread_mutex_t* lock) {
  return unlock_watched(object_of(lock), has_waiters(lock), [lock, real_unlock = TAILBACK_REAL(pthread_mutex_unlock)] { return real_unlock(lock); });
}

TAILBACK_HOOK int pthread_mutex_unlock(pthread_mutex_t* lock) {
  const auto known = TAILBACK_KNOWN(pthread_mutex_unlock);
  if (!known) [[unlikely]] return first_mutex_unlock(lock);
  return unlock_watched(object_of(lock), has_waiters(lock), [lock, known] { return known(lock); });
}

TAILBACK_HOOK int pthread_rwlock_unlock(pthread_rwlock_t* lock) {
  const std::uint64_t object = object_of(lock);
  return unlock_watched(object, capture::contended_locks.waited_for(object), [lock, real_unlock = TAILBACK_REAL(pthread_rwlock_unlock)] { return real_unlock(lock); });
}

TAILBACK_HOOK int pthread_spin_unlock(pthread_spinlock_t* lock) {
  const std::uint64_t object = object_of(lock);
  return unlock_watched(object, capture::contended_locks.waited_for(object), [lock, real_unlock = TAILBACK_REAL(pthread_spin_unlock)] { return real_unlock(lock); });
}

// C11: the same objects, other results.
namespace {

int error_of(int result) { return result == thrd_success ? 0 : result == thrd_timedout ? ETIMEDOUT : result == thrd_busy ? EBUSY : EINVAL; }

template <class Wait>
int lock_c11(mtx_t* lock, Taking taking, const void* caller, Wait wait) {
  ThreadBlock* thread = capture::thread_local_state.block;
  if (!is_usual(thread) && !capture::timing_locks()) return wait();
  int result = TAILBACK_REAL(mtx_trylock)(lock);
  if (result == thrd_success && is_usual(thread) && took_lone_lock(thread->locks, Call::mutex_lock, object_of(lock), caller)) return result;
  lock_unusually(Call::mutex_lock, object_of(lock), taking, error_of(result), caller, [&] { return error_of(result = wait()); });
  return result;
}

}  // namespace

TAILBACK_HOOK int mtx_lock(mtx_t* lock) {
  return lock_c11(lock, Taking::waiting, __builtin_return_address(0), [lock, real_lock = TAILBACK_REAL(mtx_lock)] { return real_lock(lock); });
}

TAILBACK_HOOK int mtx_timedlock(mtx_t* lock, const timespec* until) {
  return lock_c11(lock, Taking::waiting_for_a_while, __builtin_return_address(0), [=, real_lock = TAILBACK_REAL(mtx_timedlock)] { return real_lock(lock, until); });
}

TAILBACK_HOOK int mtx_trylock(mtx_t* lock) {
  const int result = TAILBACK_REAL(mtx_trylock)(lock);
  ThreadBlock* thread = result == thrd_success ? watched_thread() : nullptr;
  if (thread) capture::took_lock(*thread, Call::mutex_lock, object_of(lock), __builtin_return_address(0), Taking::trying);
  return result;
}

TAILBACK_HOOK int mtx_unlock(mtx_t* lock) {
  return unlock_watched(object_of(lock), has_waiters(reinterpret_cast<pthread_mutex_t*>(lock)), [lock, real_unlock = TAILBACK_REAL(mtx_unlock)] { return real_unlock(lock); });
}
