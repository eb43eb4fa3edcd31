// SPDX-License-Identifier: Apache-2.0
// futexes KIND: what programs make of futexes themselves. "lock": threads take turns with a lock whose word is 0, 1 or 2 (mutex2 of
// U. Drepper, "Futexes Are Tricky"). The others are none: "counter" counts requests, which a worker waits for; "parked" is 2 while the worker
// sleeps until there is work. "errors": waits that do not succeed, with what they say. Prints "done N".
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

namespace {

using Word = std::atomic<int>;

constexpr int kRounds = 60, kThreads = 4;
constexpr auto kMoment = std::chrono::milliseconds(5);

void wait_while(Word& word, int value) { syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0); }
void wake_one(Word& word) { syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0); }

class Lock {
 public:
  void lock() {
    int free = 0;
    if (word_.compare_exchange_strong(free, 1)) return;
    while (word_.exchange(2) != 0) wait_while(word_, 2);
  }
  void unlock() {
    if (word_.exchange(0) == 2) wake_one(word_);
  }

 private:
  Word word_{0};
};

[[gnu::noinline]] void work_under(Lock& lock, int& done) {
  lock.lock();
  std::this_thread::sleep_for(kMoment);
  ++done;
  lock.unlock();
}

int take_turns() {
  Lock lock;
  int done = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back([&] {
      for (int round = 0; round < kRounds; ++round) work_under(lock, done);
    });
  for (std::thread& thread : threads) thread.join();
  return done;
}

int count_requests() {
  Word requests{0};
  int done = 0;
  std::thread worker([&] {
    for (int seen = 0; seen < kRounds; ++done) {
      while (requests.load() == seen) wait_while(requests, seen);
      ++seen;
    }
  });
  for (int round = 0; round < kRounds; ++round) {
    std::this_thread::sleep_for(kMoment);
    ++requests;
    wake_one(requests);
  }
  worker.join();
  return done;
}

int park() {
  constexpr int kBusy = 0, kWork = 1, kParked = 2;
  Word state{kBusy};
  int done = 0;
  std::thread worker([&] {
    for (; done < kRounds; ++done) {
      int busy = kBusy;
      if (state.compare_exchange_strong(busy, kParked))
        while (state.load() == kParked) wait_while(state, kParked);
      state = kBusy;
    }
  });
  for (int round = 0; round < kRounds; ++round) {
    std::this_thread::sleep_for(kMoment);
    if (state.exchange(kWork) == kParked) wake_one(state);
    while (state.load() == kWork) std::this_thread::yield();
  }
  worker.join();
  return done;
}

// Of each wait that cannot succeed what it returns and leaves in errno, where the word may be a lock's and where not.
int fail() {
  Word word{2};
  const timespec moment{0, 2'000'000}, impossible{0, -1};
  const auto tell = [](const char* what, long result) { std::printf("%s %ld %s\n", what, result, result < 0 ? std::strerror(errno) : ""); };
  for (const int value : {2, 7}) {
    errno = 0;
    word = value + 1;
    tell("another value", syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0));
    word = value;
    tell("time over", syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, &moment, nullptr, 0));
    tell("no time", syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, &impossible, nullptr, 0));
    tell("no memory", syscall(SYS_futex, reinterpret_cast<int*>(64), FUTEX_WAIT_PRIVATE, value, &moment, nullptr, 0));
    tell("no bits", syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, value, &moment, nullptr, 0));
    tell("nobody", syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0));
    tell("no memory to wake", syscall(SYS_futex, reinterpret_cast<int*>(3), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0));
    errno = 0;
  }
  return take_turns();
}

}  // namespace

int main(int argc, char** argv) {
  const char* kind = argc > 1 ? argv[1] : "";
  const int done = !std::strcmp(kind, "lock")      ? take_turns()
                   : !std::strcmp(kind, "counter") ? count_requests()
                   : !std::strcmp(kind, "parked")  ? park()
                   : !std::strcmp(kind, "errors")  ? fail()
                                                   : -1;
  std::printf("done %d\n", done);
  return done < 0;
}
