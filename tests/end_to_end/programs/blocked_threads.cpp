// SPDX-License-Identifier: Apache-2.0
// Threads that stand still in ways of which each has a name: behind a read-write lock, behind a mutex with priority inheritance,
// in waits with a limit of time, inside a signal handler, deep down. Prints "ready" when all are on their way there; ends when
// killed.
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <mutex>
#include <thread>

namespace {

pthread_rwlock_t written = PTHREAD_RWLOCK_INITIALIZER;
pthread_mutex_t inheriting, patient = PTHREAD_MUTEX_INITIALIZER;
std::mutex lock;
std::condition_variable never;
std::atomic<bool> over{false};

timespec later() {
  timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  time.tv_sec += 1000;
  return time;
}

template <class Work>
std::thread named(const char* name, Work work) {
  return std::thread([name, work] {
    pthread_setname_np(pthread_self(), name);
    work();
    std::puts(name);  // a lock that was got after all; and no call before is the last thing the function does
  });
}

[[gnu::noinline]] int down(int depth) {
  volatile char room[2000] = {};
  if (depth > 0) return down(depth - 1) + room[0];
  std::unique_lock held(lock);
  never.wait(held, [] { return over.load(); });
  return 1;
}

void handle(int) {
  pause();
  std::puts("handled");
}

}  // namespace

int main() {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  pthread_mutex_init(&inheriting, &attributes);
  pthread_mutex_lock(&inheriting);
  pthread_mutex_lock(&patient);
  pthread_rwlock_wrlock(&written);
  std::thread threads[] = {
      named("reader", [] { pthread_rwlock_rdlock(&written); }),
      named("writer", [] { pthread_rwlock_wrlock(&written); }),
      named("inheriting", [] { pthread_mutex_lock(&inheriting); }),
      named("patient",
            [] {
              const timespec end = later();
              pthread_mutex_timedlock(&patient, &end);
            }),
      named("handler", [] { std::signal(SIGUSR1, handle), std::raise(SIGUSR1); }),
      named("deep", [] { down(400); }),  // more than a page of each stack matters
  };
  std::puts("ready");
  std::fflush(stdout);
  const timespec end = later();
  return pthread_timedjoin_np(threads[3].native_handle(), nullptr, &end);  // and that one waits for this one
}
