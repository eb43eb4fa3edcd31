// SPDX-License-Identifier: Apache-2.0
// lock_figures KIND: one thread holds a lock for 20 ms at a time, another waits for it; prints what both know by their own clocks.
// lock_figures orders: two threads, alive all the time, take two locks in different orders one after the other.
#include <pthread.h>
#include <threads.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <thread>

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRounds = 25;
constexpr auto kHold = std::chrono::milliseconds(20), kPause = std::chrono::milliseconds(10);

struct Lock {
  virtual ~Lock() = default;
  virtual void lock() = 0;
  virtual void unlock() = 0;
  virtual void* address() = 0;
};

struct Mutex : Lock {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  void lock() override { pthread_mutex_lock(&mutex); }
  void unlock() override { pthread_mutex_unlock(&mutex); }
  void* address() override { return &mutex; }
};
struct RwLock : Lock {
  pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
  void lock() override { pthread_rwlock_wrlock(&rwlock); }
  void unlock() override { pthread_rwlock_unlock(&rwlock); }
  void* address() override { return &rwlock; }
};
struct C11 : Lock {
  mtx_t mutex;
  C11() { mtx_init(&mutex, mtx_plain); }
  void lock() override { mtx_lock(&mutex); }
  void unlock() override { mtx_unlock(&mutex); }
  void* address() override { return &mutex; }
};
struct Spin : Lock {
  pthread_spinlock_t spin;
  Spin() { pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE); }
  void lock() override { pthread_spin_lock(&spin); }
  void unlock() override { pthread_spin_unlock(&spin); }
  void* address() override { return const_cast<int*>(&spin); }
};

std::atomic<int> holding{0};  // rounds begun

[[gnu::noinline]] void hold_it(Lock& lock) {
  for (int round = 1; round <= kRounds; ++round) {
    lock.lock();
    holding = round;
    std::this_thread::sleep_for(kHold);
    lock.unlock();
    std::this_thread::sleep_for(kPause);
  }
}

[[gnu::noinline]] double wait_for_it(Lock& lock) {
  double waited = 0;
  for (int round = 1; round <= kRounds; ++round) {
    while (holding < round) std::this_thread::sleep_for(std::chrono::microseconds(200));
    const auto begin = Clock::now();
    lock.lock();
    waited += std::chrono::duration<double>(Clock::now() - begin).count();
    lock.unlock();
  }
  return waited;
}

void figures(Lock&& lock) {
  double waited = 0;
  std::thread waiter([&] { waited = wait_for_it(lock); });
  hold_it(lock);
  waiter.join();
  std::printf("address=%p waited=%.6f taken=%d\n", lock.address(), waited, 2 * kRounds);
}

void orders() {
  static std::mutex left, right;
  std::atomic<int> turn{0};
  const auto take = [&](std::mutex& outer, std::mutex& inner, int mine) {
    while (turn != mine) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    {
      const std::lock_guard held(outer);
      const std::lock_guard taken(inner);
    }
    ++turn;
    while (turn != 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  std::thread one([&] { take(left, right, 0); }), other([&] { take(right, left, 1); });
  one.join(), other.join();
}

}  // namespace

int main(int count, char** arguments) {
  const char* kind = count > 1 ? arguments[1] : "";
  if (std::strcmp(kind, "mutex") == 0) figures(Mutex());
  else if (std::strcmp(kind, "rwlock") == 0) figures(RwLock());
  else if (std::strcmp(kind, "c11") == 0) figures(C11());
  else if (std::strcmp(kind, "spin") == 0) figures(Spin());
  else if (std::strcmp(kind, "orders") == 0) orders();
  else return 2;
  return 0;
}
