// SPDX-License-Identifier: Apache-2.0
// Locks that somebody else has, and what threads wait for each other with.
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

#include "tests/torture/programs/interrupted/table.h"

namespace interrupted {

void add_locks(Table& table) {
  static sem_t semaphore;
  static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER, own = PTHREAD_MUTEX_INITIALIZER;
  static pthread_rwlock_t written = PTHREAD_RWLOCK_INITIALIZER;
  static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  static pthread_barrier_t barrier;
  static std::atomic<int> word{0};
  sem_init(&semaphore, 0, 0);
  pthread_mutex_lock(&held);
  pthread_rwlock_wrlock(&written);
  pthread_barrier_init(&barrier, nullptr, 2);
  const auto timed = [&](const char* name, clockid_t clock, int (*wait)(const timespec*), bool by_errno) {
    table.add(name, [=] {
      const timespec until = in_ms(clock, kLimitMs);
      const int result = wait(&until);
      return by_errno ? outcome(result) : returned(result);
    });
  };
  table.add("sem_wait", [] { return outcome(sem_wait(&semaphore)); }, [] { sem_post(&semaphore); });
  timed("sem_timedwait", CLOCK_REALTIME, [](const timespec* until) { return sem_timedwait(&semaphore, until); }, true);
  timed("sem_clockwait", CLOCK_MONOTONIC, [](const timespec* until) { return sem_clockwait(&semaphore, CLOCK_MONOTONIC, until); }, true);
  timed("pthread_mutex_timedlock", CLOCK_REALTIME, [](const timespec* until) { return pthread_mutex_timedlock(&held, until); }, false);
  timed(
      "pthread_mutex_clocklock", CLOCK_MONOTONIC,
      [](const timespec* until) { return pthread_mutex_clocklock(&held, CLOCK_MONOTONIC, until); }, false);
  timed(
      "pthread_rwlock_timedrdlock", CLOCK_REALTIME, [](const timespec* until) { return pthread_rwlock_timedrdlock(&written, until); },
      false);
  timed(
      "pthread_rwlock_clockwrlock", CLOCK_MONOTONIC,
      [](const timespec* until) { return pthread_rwlock_clockwrlock(&written, CLOCK_MONOTONIC, until); }, false);
  const auto with_own = [](int (*wait)(const timespec*), const timespec* until) {
    pthread_mutex_lock(&own);
    const int result = wait(until);
    pthread_mutex_unlock(&own);
    return result;
  };
  table.add("pthread_cond_timedwait", [=] {
    const timespec until = in_ms(CLOCK_REALTIME, kLimitMs);
    return returned(with_own([](const timespec* at) { return pthread_cond_timedwait(&condition, &own, at); }, &until));
  });
  table.add("pthread_cond_clockwait", [=] {
    const timespec until = in_ms(CLOCK_MONOTONIC, kLimitMs);
    return returned(with_own([](const timespec* at) { return pthread_cond_clockwait(&condition, &own, CLOCK_MONOTONIC, at); }, &until));
  });
  table.add(
      "pthread_barrier_wait",
      [] {
        const int result = pthread_barrier_wait(&barrier);
        return returned(result == PTHREAD_BARRIER_SERIAL_THREAD ? 0 : result);
      },
      [] { pthread_barrier_wait(&barrier); });
  table.add("futex", [] { word = 0; return outcome(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0)); },
            [] { syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0); });
  table.add("futex with a limit", [] { word = 0; return outcome(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &kLimit, nullptr, 0)); });
  table.add("futex until", [] {
    const timespec until = in_ms(CLOCK_MONOTONIC, kLimitMs);
    return outcome(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, &until, nullptr, FUTEX_BITSET_MATCH_ANY));
  });
}

}  // namespace interrupted
