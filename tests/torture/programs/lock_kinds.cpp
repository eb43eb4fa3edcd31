// SPDX-License-Identifier: Apache-2.0
// Every kind of lock with every way to take it, uncontended and contended: prints the values that the calls return.
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "tests/torture/programs/waiting.h"

// As programs linked before glibc 2.3.2 call them, with the layout of then.
extern "C" {
int old_cond_init(pthread_cond_t*, const pthread_condattr_t*);
int old_cond_wait(pthread_cond_t*, pthread_mutex_t*);
int old_cond_timedwait(pthread_cond_t*, pthread_mutex_t*, const timespec*);
int old_cond_signal(pthread_cond_t*);
int old_cond_broadcast(pthread_cond_t*);
int old_cond_destroy(pthread_cond_t*);
}
__asm__(".symver old_cond_init,pthread_cond_init@GLIBC_2.2.5");
__asm__(".symver old_cond_wait,pthread_cond_wait@GLIBC_2.2.5");
__asm__(".symver old_cond_timedwait,pthread_cond_timedwait@GLIBC_2.2.5");
__asm__(".symver old_cond_signal,pthread_cond_signal@GLIBC_2.2.5");
__asm__(".symver old_cond_broadcast,pthread_cond_broadcast@GLIBC_2.2.5");
__asm__(".symver old_cond_destroy,pthread_cond_destroy@GLIBC_2.2.5");

namespace {

using programs::in_ms;

constexpr long kSoonMs = 20;

const char* name_of(int error) { return error == 0 ? "0" : strerrorname_np(error); }

void say(const char* what, int error) { std::printf("  %s %s\n", what, name_of(error)); }

void in_thread(const std::function<void()>& work) { std::thread(work).join(); }

struct Kind {
  const char* name;
  int type, protocol, robust, shared;
};

const Kind kKinds[] = {
    {"normal", PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED, PTHREAD_PROCESS_PRIVATE},
    {"recursive", PTHREAD_MUTEX_RECURSIVE, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED, PTHREAD_PROCESS_PRIVATE},
    {"errorcheck", PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED, PTHREAD_PROCESS_PRIVATE},
    {"adaptive", PTHREAD_MUTEX_ADAPTIVE_NP, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED, PTHREAD_PROCESS_PRIVATE},
    {"robust", PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_ROBUST, PTHREAD_PROCESS_PRIVATE},
    {"robust recursive", PTHREAD_MUTEX_RECURSIVE, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_ROBUST, PTHREAD_PROCESS_PRIVATE},
    {"inheriting", PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_STALLED, PTHREAD_PROCESS_PRIVATE},
    {"inheriting errorcheck", PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_STALLED, PTHREAD_PROCESS_PRIVATE},
    {"inheriting robust", PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_ROBUST, PTHREAD_PROCESS_PRIVATE},
    {"shared", PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED, PTHREAD_PROCESS_SHARED},
    {"shared robust", PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_ROBUST, PTHREAD_PROCESS_SHARED},
};

void make(pthread_mutex_t& mutex, const Kind& kind) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, kind.type);
  pthread_mutexattr_setprotocol(&attributes, kind.protocol);
  pthread_mutexattr_setrobust(&attributes, kind.robust);
  pthread_mutexattr_setpshared(&attributes, kind.shared);
  programs::require(pthread_mutex_init(&mutex, &attributes) == 0, "pthread_mutex_init");
}

int timed(pthread_mutex_t& mutex) {
  const timespec until = in_ms(CLOCK_REALTIME, kSoonMs);
  return pthread_mutex_timedlock(&mutex, &until);
}

int clocked(pthread_mutex_t& mutex) {
  const timespec until = in_ms(CLOCK_MONOTONIC, kSoonMs);
  return pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &until);
}

// Taken again by its owner, and wanted by another while it is held.
void take_and_want(pthread_mutex_t& mutex, const Kind& kind) {
  say("lock", pthread_mutex_lock(&mutex));
  say("trylock by its owner", pthread_mutex_trylock(&mutex));
  say("timedlock by its owner", timed(mutex));
  if (kind.type == PTHREAD_MUTEX_RECURSIVE) say("unlock", pthread_mutex_unlock(&mutex)), say("unlock", pthread_mutex_unlock(&mutex));
  in_thread([&] {
    say("trylock by another", pthread_mutex_trylock(&mutex));
    say("timedlock by another", timed(mutex));
    if (kind.protocol == PTHREAD_PRIO_NONE) say("clocklock by another", clocked(mutex));
    if (kind.type == PTHREAD_MUTEX_ERRORCHECK) say("unlock by another", pthread_mutex_unlock(&mutex));
  });
  std::thread waiter([&] {
    const int taken = pthread_mutex_lock(&mutex);
    say("lock when it was released", taken);
    say("unlock", pthread_mutex_unlock(&mutex));
  });
  programs::sleep_ms(kSoonMs);
  pthread_mutex_unlock(&mutex);
  waiter.join();
}

void owner_dies(pthread_mutex_t& mutex) {
  in_thread([&] { pthread_mutex_lock(&mutex); });
  const int dead = pthread_mutex_trylock(&mutex);
  say("trylock after its owner died", dead);
  say("consistent", pthread_mutex_consistent(&mutex));
  say("unlock", pthread_mutex_unlock(&mutex));
  std::thread dying([&] {
    pthread_mutex_lock(&mutex);
    programs::sleep_ms(kSoonMs);
  });
  programs::sleep_ms(kSoonMs / 2);
  say("lock while its owner dies", pthread_mutex_lock(&mutex));
  dying.join();
  say("unlock as it is", pthread_mutex_unlock(&mutex));
  say("lock of what nobody repaired", pthread_mutex_lock(&mutex));
  say("trylock of what nobody repaired", pthread_mutex_trylock(&mutex));
}

void mutexes() {
  for (const Kind& kind : kKinds) {
    std::printf("%s mutex\n", kind.name);
    pthread_mutex_t mutex;
    make(mutex, kind);
    take_and_want(mutex, kind);
    if (kind.robust == PTHREAD_MUTEX_ROBUST) owner_dies(mutex);
    say("destroy", pthread_mutex_destroy(&mutex));
  }
}

struct Shared {
  pthread_mutex_t mutex, robust;
  pthread_cond_t condition;
  sem_t semaphore;
  pthread_barrier_t barrier;
  int steps;
};

void across_fork() {
  std::printf("across fork\n");
  auto& shared = *static_cast<Shared*>(mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  make(shared.mutex, kKinds[9]);
  make(shared.robust, kKinds[10]);
  pthread_condattr_t condition;
  pthread_condattr_init(&condition);
  pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED);
  pthread_cond_init(&shared.condition, &condition);
  sem_init(&shared.semaphore, 1, 0);
  pthread_barrierattr_t barrier;
  pthread_barrierattr_init(&barrier);
  pthread_barrierattr_setpshared(&barrier, PTHREAD_PROCESS_SHARED);
  pthread_barrier_init(&shared.barrier, &barrier, 2);
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    pthread_mutex_lock(&shared.robust);
    pthread_barrier_wait(&shared.barrier);
    for (int i = 0; i < 2000; ++i) {
      pthread_mutex_lock(&shared.mutex);
      ++shared.steps;
      pthread_mutex_unlock(&shared.mutex);
    }
    sem_wait(&shared.semaphore);
    pthread_mutex_lock(&shared.mutex);
    shared.steps += 10000;
    pthread_cond_signal(&shared.condition);
    pthread_mutex_unlock(&shared.mutex);
    programs::sleep_ms(kSoonMs);
    _exit(0);
  }
  pthread_barrier_wait(&shared.barrier);
  say("trylock of what the child holds", pthread_mutex_trylock(&shared.robust));
  for (int i = 0; i < 2000; ++i) {
    pthread_mutex_lock(&shared.mutex);
    ++shared.steps;
    pthread_mutex_unlock(&shared.mutex);
  }
  sem_post(&shared.semaphore);
  pthread_mutex_lock(&shared.mutex);
  while (shared.steps < 10000) pthread_cond_wait(&shared.condition, &shared.mutex);
  pthread_mutex_unlock(&shared.mutex);
  say("lock of what the child held", pthread_mutex_lock(&shared.robust));
  waitpid(child, nullptr, 0);
  std::printf("  steps %d\n", shared.steps);
}

void rwlocks() {
  for (const int kind : {PTHREAD_RWLOCK_PREFER_READER_NP, PTHREAD_RWLOCK_PREFER_WRITER_NP, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP}) {
    std::printf("rwlock of kind %d\n", kind);
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, kind);
    pthread_rwlock_t lock;
    pthread_rwlock_init(&lock, &attributes);
    say("rdlock", pthread_rwlock_rdlock(&lock));
    say("rdlock again", pthread_rwlock_rdlock(&lock));
    in_thread([&] {
      const timespec real = in_ms(CLOCK_REALTIME, kSoonMs), monotonic = in_ms(CLOCK_MONOTONIC, kSoonMs);
      say("tryrdlock", pthread_rwlock_tryrdlock(&lock));
      say("trywrlock", pthread_rwlock_trywrlock(&lock));
      say("timedwrlock", pthread_rwlock_timedwrlock(&lock, &real));
      say("clockwrlock", pthread_rwlock_clockwrlock(&lock, CLOCK_MONOTONIC, &monotonic));
      say("unlock", pthread_rwlock_unlock(&lock));
    });
    pthread_rwlock_unlock(&lock);
    pthread_rwlock_unlock(&lock);
    say("wrlock", pthread_rwlock_wrlock(&lock));
    say("wrlock by its owner", pthread_rwlock_wrlock(&lock));
    say("rdlock by its owner", pthread_rwlock_rdlock(&lock));
    in_thread([&] {
      const timespec real = in_ms(CLOCK_REALTIME, kSoonMs), monotonic = in_ms(CLOCK_MONOTONIC, kSoonMs);
      say("tryrdlock", pthread_rwlock_tryrdlock(&lock));
      say("timedrdlock", pthread_rwlock_timedrdlock(&lock, &real));
      say("clockrdlock", pthread_rwlock_clockrdlock(&lock, CLOCK_MONOTONIC, &monotonic));
    });
    say("unlock", pthread_rwlock_unlock(&lock));
  }
}

template <class Wait, class TimedWait, class Wake>
void condition_variable(const char* name, Wait wait, TimedWait timed_wait, Wake wake) {
  std::printf("%s\n", name);
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  int turns = 0;
  std::thread other([&] {
    pthread_mutex_lock(&mutex);
    while (turns < 100) {
      if (turns % 2 == 0) wait(&mutex);
      else ++turns, wake();
    }
    pthread_mutex_unlock(&mutex);
  });
  pthread_mutex_lock(&mutex);
  while (turns < 100) {
    if (turns % 2 == 1) wait(&mutex);
    else ++turns, wake();
  }
  pthread_mutex_unlock(&mutex);
  other.join();
  std::printf("  turns %d\n", turns);
  pthread_mutex_lock(&mutex);
  say("timed wait", timed_wait(&mutex));
  say("trylock by its owner", pthread_mutex_trylock(&mutex));
  pthread_mutex_unlock(&mutex);
}

void condition_variables() {
  static pthread_cond_t now = PTHREAD_COND_INITIALIZER, monotonic, old;
  const auto until = [](clockid_t clock) { return in_ms(clock, kSoonMs); };
  condition_variable(
      "condition variable", [](pthread_mutex_t* m) { return pthread_cond_wait(&now, m); },
      [&](pthread_mutex_t* m) {
        const timespec at = until(CLOCK_REALTIME);
        return pthread_cond_timedwait(&now, m, &at);
      },
      [] { pthread_cond_signal(&now); });
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&monotonic, &attributes);
  condition_variable(
      "condition variable, monotonic", [](pthread_mutex_t* m) { return pthread_cond_wait(&monotonic, m); },
      [&](pthread_mutex_t* m) {
        const timespec at = until(CLOCK_MONOTONIC);
        return pthread_cond_timedwait(&monotonic, m, &at);
      },
      [] { pthread_cond_broadcast(&monotonic); });
  condition_variable(
      "condition variable, by clock", [](pthread_mutex_t* m) { return pthread_cond_wait(&now, m); },
      [&](pthread_mutex_t* m) {
        const timespec at = until(CLOCK_MONOTONIC);
        return pthread_cond_clockwait(&now, m, CLOCK_MONOTONIC, &at);
      },
      [] { pthread_cond_signal(&now); });
  old_cond_init(&old, nullptr);
  condition_variable(
      "condition variable of 2.2.5", [](pthread_mutex_t* m) { return old_cond_wait(&old, m); },
      [&](pthread_mutex_t* m) {
        const timespec at = until(CLOCK_REALTIME);
        return old_cond_timedwait(&old, m, &at);
      },
      [] { old_cond_signal(&old); });
  condition_variable(
      "condition variable of 2.2.5, to all", [](pthread_mutex_t* m) { return old_cond_wait(&old, m); },
      [&](pthread_mutex_t* m) {
        const timespec at = until(CLOCK_REALTIME);
        return old_cond_timedwait(&old, m, &at);
      },
      [] { old_cond_broadcast(&old); });
  say("destroy", old_cond_destroy(&old));
}

void others() {
  std::printf("others\n");
  static pthread_spinlock_t spin;
  pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE);
  say("spin_lock", pthread_spin_lock(&spin));
  in_thread([] { say("spin_trylock", pthread_spin_trylock(&spin)); });
  say("spin_unlock", pthread_spin_unlock(&spin));
  static sem_t semaphore;
  sem_init(&semaphore, 0, 1);
  say("sem_trywait", sem_trywait(&semaphore) ? errno : 0);
  say("sem_trywait", sem_trywait(&semaphore) ? errno : 0);
  const timespec until = in_ms(CLOCK_REALTIME, kSoonMs), wrong{0, 2'000'000'000};
  say("sem_timedwait", sem_timedwait(&semaphore, &until) ? errno : 0);
  say("sem_timedwait until never", sem_timedwait(&semaphore, &wrong) ? errno : 0);
  static pthread_barrier_t barrier;
  static std::atomic<int> serial{0};
  pthread_barrier_init(&barrier, nullptr, 3);
  std::thread one([] { serial += pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD; }),
      two([] { serial += pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD; });
  serial += pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD;
  one.join(), two.join();
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  static std::atomic<int> times{0};
  for (int i = 0; i < 3; ++i) in_thread([] { pthread_once(&once, [] { ++times; }); });
  std::printf("  serial %d, once %d\n", serial.load(), times.load());
}

void threads_of_c() {
  std::printf("threads of C\n");
  static mtx_t plain, recursive, with_limit;
  static cnd_t wake;
  static once_flag flag = ONCE_FLAG_INIT;
  static std::atomic<int> times{0}, ready{0};
  for (const int result :
       {mtx_init(&plain, mtx_plain), mtx_init(&recursive, mtx_plain | mtx_recursive), mtx_init(&with_limit, mtx_timed), cnd_init(&wake)})
    std::printf("  init %d\n", result);
  for (const int result : {mtx_lock(&recursive), mtx_trylock(&recursive), mtx_unlock(&recursive), mtx_unlock(&recursive)})
    std::printf("  recursive %d\n", result);
  const auto work = [](void*) -> int {
    call_once(&flag, [] { ++times; });
    const timespec until = in_ms(CLOCK_REALTIME, kSoonMs);
    const int late = mtx_timedlock(&with_limit, &until), busy = mtx_trylock(&with_limit);
    mtx_lock(&plain);
    ready = 1;
    cnd_signal(&wake);
    mtx_unlock(&plain);
    return late * 100 + busy;
  };
  mtx_lock(&with_limit);
  mtx_lock(&plain);
  thrd_t thread;
  int result = 0;
  std::printf("  create %d\n", thrd_create(&thread, work, nullptr));
  while (!ready) cnd_wait(&wake, &plain);
  mtx_unlock(&plain);
  const int joined = thrd_join(thread, &result);
  std::printf("  join %d, result %d\n", joined, result);
  const timespec until = in_ms(CLOCK_REALTIME, kSoonMs);
  mtx_lock(&plain);
  std::printf("  cnd_timedwait %d, once %d\n", cnd_timedwait(&wake, &plain, &until), times.load());
  mtx_unlock(&plain);
}

}  // namespace

int main() {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  mutexes();
  across_fork();
  rwlocks();
  condition_variables();
  others();
  threads_of_c();
  return 0;
}
