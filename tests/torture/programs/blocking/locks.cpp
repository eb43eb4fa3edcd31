// SPDX-License-Identifier: Apache-2.0
// Locks, semaphores, condition variables and futexes: the main thread has what the other wants.
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <threads.h>
#include <unistd.h>

#include <condition_variable>
#include <latch>
#include <mutex>
#include <semaphore>

#include "tests/torture/programs/blocking/stage.h"

namespace blocking {
namespace {

constexpr long kFarMs = 5000;

void mutexes(Stage& stage) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static std::timed_mutex timed;
  const auto held = [&](const char* name, int (*lock)()) {
    pthread_mutex_lock(&mutex);
    stage.block(
        name, "mutex_lock", [&] { return lock() == 0 && pthread_mutex_unlock(&mutex) == 0; },
        [](pthread_t) { pthread_mutex_unlock(&mutex); });
  };
  held("mutex_lock", [] { return pthread_mutex_lock(&mutex); });
  held("mutex_timedlock", [] { const timespec until = in_ms(CLOCK_REALTIME, kFarMs); return pthread_mutex_timedlock(&mutex, &until); });
  held("mutex_clocklock", [] {
    const timespec until = in_ms(CLOCK_MONOTONIC, kFarMs);
    return pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &until);
  });
  timed.lock();
  stage.block("std_timed_mutex", "mutex_lock", [] { return !timed.try_lock_for(std::chrono::milliseconds(kBlockedMs)); });
  timed.unlock();
}

void rwlocks(Stage& stage) {
  static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  const auto held = [&](const char* name, const char* kind, int (*take)(const timespec*)) {
    pthread_rwlock_wrlock(&lock);
    const auto call = [&] {
      const timespec until = in_ms(CLOCK_MONOTONIC, kFarMs);
      return take(&until) == 0 && pthread_rwlock_unlock(&lock) == 0;
    };
    stage.block(name, kind, call, [](pthread_t) { pthread_rwlock_unlock(&lock); });
  };
  const auto out_of_time = [&](const char* name, const char* kind, int (*take)(const timespec*)) {
    pthread_rwlock_wrlock(&lock);
    stage.block(name, kind, [&] { const timespec until = in_ms(CLOCK_REALTIME, kBlockedMs); return take(&until) == ETIMEDOUT; });
    pthread_rwlock_unlock(&lock);
  };
  held("rwlock_rdlock", "rwlock_rdlock", [](const timespec*) { return pthread_rwlock_rdlock(&lock); });
  held("rwlock_wrlock", "rwlock_wrlock", [](const timespec*) { return pthread_rwlock_wrlock(&lock); });
  held("rw_clockrdlock", "rwlock_rdlock", [](const timespec* until) { return pthread_rwlock_clockrdlock(&lock, CLOCK_MONOTONIC, until); });
  held("rw_clockwrlock", "rwlock_wrlock", [](const timespec* until) { return pthread_rwlock_clockwrlock(&lock, CLOCK_MONOTONIC, until); });
  out_of_time("rw_timedrdlock", "rwlock_rdlock", [](const timespec* until) { return pthread_rwlock_timedrdlock(&lock, until); });
  out_of_time("rw_timedwrlock", "rwlock_wrlock", [](const timespec* until) { return pthread_rwlock_timedwrlock(&lock, until); });
}

void other_locks(Stage& stage) {
  static pthread_spinlock_t spin;
  pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE);
  pthread_spin_lock(&spin);
  stage.block("spin_lock", "spin_lock", [] { return pthread_spin_lock(&spin) == 0 && pthread_spin_unlock(&spin) == 0; },
              [](pthread_t) { pthread_spin_unlock(&spin); });
  static mtx_t mutex;
  mtx_init(&mutex, mtx_timed);
  mtx_lock(&mutex);
  stage.block("mtx_lock", "mutex_lock", [] { return mtx_lock(&mutex) == thrd_success && mtx_unlock(&mutex) == thrd_success; },
              [](pthread_t) { mtx_unlock(&mutex); });
  mtx_lock(&mutex);
  stage.block("mtx_timedlock", "mutex_lock", [] {
    const timespec until = in_ms(CLOCK_REALTIME, kBlockedMs);
    return mtx_timedlock(&mutex, &until) == thrd_timedout;
  });
  mtx_unlock(&mutex);
  static pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, nullptr, 2);
  stage.block(
      "barrier_wait", "barrier_wait",
      [] {
        pthread_barrier_wait(&barrier);
        return true;
      },
      [](pthread_t) { pthread_barrier_wait(&barrier); });
}

void semaphores(Stage& stage) {
  static sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  stage.block("sem_wait", "sem_wait", [] { return sem_wait(&semaphore) == 0; }, [](pthread_t) { sem_post(&semaphore); });
  stage.block("sem_timedwait", "sem_wait", [] {
    const timespec until = in_ms(CLOCK_REALTIME, kBlockedMs);
    return sem_timedwait(&semaphore, &until) == -1;
  });
  stage.block("sem_clockwait", "sem_wait", [] {
    const timespec until = in_ms(CLOCK_MONOTONIC, kFarMs);
    return sem_clockwait(&semaphore, CLOCK_MONOTONIC, &until) == 0;
  }, [](pthread_t) { sem_post(&semaphore); });
}

void conditions(Stage& stage) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  const auto locked = [&](const char* name, int (*wait)(), int expected, const std::function<void(pthread_t)>& end = {}) {
    stage.block(
        name, "cond_wait", [&] { return pthread_mutex_lock(&mutex) == 0 && wait() == expected && pthread_mutex_unlock(&mutex) == 0; }, end);
  };
  locked("cond_wait", [] { return pthread_cond_wait(&condition, &mutex); }, 0, [](pthread_t) { pthread_cond_signal(&condition); });
  locked(
      "cond_timedwait",
      [] {
        const timespec until = in_ms(CLOCK_REALTIME, kBlockedMs);
        return pthread_cond_timedwait(&condition, &mutex, &until);
      },
      ETIMEDOUT);
  locked("cond_clockwait", [] {
    const timespec until = in_ms(CLOCK_MONOTONIC, kFarMs);
    return pthread_cond_clockwait(&condition, &mutex, CLOCK_MONOTONIC, &until);
  }, 0, [](pthread_t) { pthread_cond_broadcast(&condition); });
  static mtx_t plain;
  static cnd_t wake;
  mtx_init(&plain, mtx_plain);
  cnd_init(&wake);
  stage.block(
      "cnd_wait", "cond_wait",
      [] { return mtx_lock(&plain) == thrd_success && cnd_wait(&wake, &plain) == thrd_success && mtx_unlock(&plain) == thrd_success; },
      [](pthread_t) { cnd_signal(&wake); });
  stage.block("cnd_timedwait", "cond_wait", [] {
    const timespec until = in_ms(CLOCK_REALTIME, kBlockedMs);
    return mtx_lock(&plain) == thrd_success && cnd_timedwait(&wake, &plain, &until) == thrd_timedout && mtx_unlock(&plain) == thrd_success;
  });
  static std::mutex standard_mutex;
  static std::condition_variable standard;
  stage.block(
      "std_cv_wait", "cond_wait",
      [] {
        std::unique_lock lock(standard_mutex);
        standard.wait(lock);
        return true;
      },
      [](pthread_t) { standard.notify_one(); });
}

// What the standard library's newer waits come down to.
void futexes(Stage& stage) {
  static std::atomic<int> word{0};
  const auto wake = [](pthread_t) {
    word = 1;
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  };
  stage.block("futex_wait", "futex_wait", [] { return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0) == 0; }, wake);
  word = 0;
  stage.block("futex_bitset", "futex_wait", [] {
    const timespec until = in_ms(CLOCK_MONOTONIC, kBlockedMs);
    return syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, &until, nullptr, FUTEX_BITSET_MATCH_ANY) == -1 && errno == ETIMEDOUT;
  });
  stage.block("atomic_wait", "futex_wait", [] { word.wait(0); return word == 1; }, [](pthread_t) { word = 1; word.notify_all(); });
  static std::binary_semaphore semaphore(0);
  stage.block("std_semaphore", "futex_wait|sem_wait", [] { semaphore.acquire(); return true; }, [](pthread_t) { semaphore.release(); });
  static std::latch latch(1);
  stage.block("std_latch", "futex_wait", [] { latch.wait(); return true; }, [](pthread_t) { latch.count_down(); });
}

}  // namespace

void block_on_locks(Stage& stage) {
  mutexes(stage);
  rwlocks(stage);
  other_locks(stage);
  semaphores(stage);
  conditions(stage);
  futexes(stage);
}

}  // namespace blocking
