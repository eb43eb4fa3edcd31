// SPDX-License-Identifier: Apache-2.0
// deadlocks KIND: threads that wait for each other for ever, in one of the ways there are; or (the later kinds) that look like it for
// two seconds, do not, and end. Prints "done" when all is over.
#include <pthread.h>
#include <threads.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kMoment = std::chrono::milliseconds(50);
constexpr auto kLong = std::chrono::seconds(2);

std::mutex first, second, third;

void nap() { std::this_thread::sleep_for(kMoment); }

void take_both(std::mutex& outer, std::mutex& inner) {
  const std::lock_guard held(outer);
  nap();
  const std::lock_guard taken(inner);
}

void all(std::vector<std::function<void()>> parts) {
  std::vector<std::thread> threads;
  for (auto& part : parts) threads.emplace_back(part);
  for (std::thread& thread : threads) thread.join();
}

void pair() { all({[] { take_both(first, second); }, [] { take_both(second, first); }}); }
void ring() { all({[] { take_both(first, second); }, [] { take_both(second, third); }, [] { take_both(third, first); }}); }

void self() {
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&lock);
  pthread_mutex_lock(&lock);
}

void readers() {
  static std::shared_mutex left, right;
  const auto read_then_write = [](std::shared_mutex& read, std::shared_mutex& write) {
    const std::shared_lock held(read);
    nap();
    const std::unique_lock taken(write);
  };
  all({[=] { read_then_write(left, right); }, [=] { read_then_write(right, left); }});
}

void join() {
  std::unique_lock held(first);
  std::thread other([] { const std::lock_guard taken(first); });
  nap();
  other.join();
}

void c11() {
  static mtx_t left, right;
  mtx_init(&left, mtx_plain), mtx_init(&right, mtx_plain);
  const auto take = [](mtx_t* outer, mtx_t* inner) { mtx_lock(outer), nap(), mtx_lock(inner); };
  all({[=] { take(&left, &right); }, [=] { take(&right, &left); }});
}

// What follows goes on.

template <class Try>
void until_long(Try&& attempt) {
  for (const auto end = Clock::now() + kLong; Clock::now() < end;) attempt();
}

void timed() {
  static std::timed_mutex left, right;
  const auto patiently = [](std::timed_mutex& outer, std::timed_mutex& inner) {
    until_long([&] {
      const std::lock_guard held(outer);
      nap();
      if (inner.try_lock_for(std::chrono::milliseconds(700))) inner.unlock();
    });
  };
  all({[=] { patiently(left, right); }, [=] { patiently(right, left); }});
}

void back_off() {
  const auto politely = [](std::mutex& outer, std::mutex& inner) {
    until_long([&] {
      const std::lock_guard held(outer);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      if (inner.try_lock()) inner.unlock();
    });
  };
  all({[=] { politely(first, second); }, [=] { politely(second, first); }});
}

void hand_over_hand() {
  static std::mutex nodes[8];
  const auto walk = [] {
    until_long([] {
      nodes[0].lock();
      for (int i = 1; i < 8; ++i) nodes[i].lock(), std::this_thread::sleep_for(std::chrono::milliseconds(1)), nodes[i - 1].unlock();
      nodes[7].unlock();
    });
  };
  all({walk, walk, walk});
}

void recursive() {
  static std::recursive_mutex lock;
  const auto deeper = [] {
    until_long([] {
      const std::lock_guard outer(lock);
      nap();
      const std::lock_guard inner(lock);
    });
  };
  all({deeper, deeper});
}

// In a process with one thread, which stays one: what the recorder does about a thread that waits for itself is not for these.
void alone() {
  for (const int robust : {PTHREAD_MUTEX_STALLED, PTHREAD_MUTEX_ROBUST})
    for (const int type : {PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK}) {
      pthread_mutexattr_t attributes;
      pthread_mutexattr_init(&attributes);
      pthread_mutexattr_settype(&attributes, type);
      pthread_mutexattr_setrobust(&attributes, robust);
      pthread_mutex_t lock;
      pthread_mutex_init(&lock, &attributes);
      pthread_mutex_lock(&lock);
      if (pthread_mutex_lock(&lock) == 0) pthread_mutex_unlock(&lock);
      pthread_mutex_unlock(&lock);
    }
  const auto tasks = std::distance(std::filesystem::directory_iterator("/proc/self/task"), std::filesystem::directory_iterator());
  if (tasks != 1) std::printf("%ld threads\n", static_cast<long>(tasks));
}

void long_hold() {
  all({[] {
         const std::lock_guard held(first);
         std::this_thread::sleep_for(kLong);
       },
       [] {
         nap();
         const std::lock_guard taken(first);
       }});
}

}  // namespace

int main(int count, char** arguments) {
  const std::map<std::string, void (*)()> kinds = {{"pair", pair}, {"ring", ring}, {"self", self}, {"readers", readers}, {"join", join}, {"c11", c11},
                                                   {"timed", timed}, {"back_off", back_off}, {"hand_over_hand", hand_over_hand}, {"recursive", recursive}, {"alone", alone}, {"long_hold", long_hold}};
  const auto kind = kinds.find(count > 1 ? arguments[1] : "");
  if (kind == kinds.end()) return 2;
  kind->second();
  std::puts("done");
  return 0;
}
