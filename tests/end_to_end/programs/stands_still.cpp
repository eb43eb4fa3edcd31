// SPDX-License-Identifier: Apache-2.0
// A thread answers a request each 5 ms and now and then stands still in the way that the argument names; what it measured itself of that
// is printed: how often, how long in all. "nothing" does none of it, "idle" only waits.
#include <fcntl.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>


namespace {

constexpr int kRequests = 650, kEach = 100;
constexpr std::size_t kData = std::size_t{768} << 20, kPart = std::size_t{256} << 20;

struct Tally {
  int count = 0;
  double seconds = 0;
};

template <class Call>
void timed(Tally& tally, Call call) {
  const auto begin = std::chrono::steady_clock::now();
  call();
  tally.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  ++tally.count;
}

[[gnu::noinline]] unsigned answer(unsigned request) {
  for (int i = 0; i < 100'000; ++i) request = request * 2654435761u + 12345u;
  return request;
}

void serve(const std::function<void()>& each) {
  std::mutex mutex;
  std::condition_variable came;
  std::deque<unsigned> requests;
  unsigned sum = 0;
  std::thread server([&] {
    for (int served = 0; served < kRequests; ++served) {
      std::unique_lock lock(mutex);
      came.wait(lock, [&] { return !requests.empty(); });
      const unsigned request = requests.front();
      requests.pop_front();
      lock.unlock();
      sum ^= answer(request);
      if (served % kEach == kEach - 1) each();
    }
  });
  for (unsigned i = 0; i < kRequests; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const std::lock_guard lock(mutex);
    requests.push_back(i);
    came.notify_one();
  }
  server.join();
  if (sum == 1) std::puts("");
}

// Threads that allocate, in a runtime of our own: whoever finds that it is time stops all others at their next allocation, looks after the heap
// alone and lets them go.
class Runtime {
 public:
  explicit Runtime(int threads) : threads_(threads) {}

  void allocate(Tally& tally, bool time_to_collect) {
    std::unique_lock lock(mutex_);
    while (stopping_) stand(lock);
    if (!time_to_collect) return;
    stopping_ = true;
    changed_.wait(lock, [&] { return standing_ == threads_ - 1; });
    lock.unlock();
    timed(tally, [&] { collect(); });
    lock.lock();
    stopping_ = false;
    changed_.notify_all();
  }
  void leave() {
    const std::lock_guard lock(mutex_);
    --threads_;
    changed_.notify_all();
  }

 private:
  void stand(std::unique_lock<std::mutex>& lock) {
    ++standing_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return !stopping_; });
    --standing_;
  }
  [[gnu::noinline]] void collect() {
    for (int pass = 0; pass < 15; ++pass)
      for (std::size_t at = 0; at < heap_.size(); ++at) heap_[at] = heap_[at] * 2654435761u + heap_[at / 2];
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int threads_, standing_ = 0;
  bool stopping_ = false;
  std::vector<unsigned> heap_ = std::vector<unsigned>(std::size_t{8} << 20);
};

void stop_the_world(Tally& tally) {
  constexpr int kMutators = 4;
  constexpr unsigned kRounds = 4'000, kEachRounds = 400;
  Runtime runtime(kMutators);
  std::vector<std::thread> mutators;
  for (int i = 0; i < kMutators; ++i)
    mutators.emplace_back([&, i] {
      unsigned value = 0;
      for (unsigned round = 1; round <= kRounds; ++round) {
        value ^= answer(round);
        std::this_thread::sleep_for(std::chrono::microseconds(300));
        runtime.allocate(tally, i == 0 && round % kEachRounds == 0);
      }
      runtime.leave();
      if (value == 1) std::puts("");
    });
  for (std::thread& mutator : mutators) mutator.join();
}

void fork_child() {
  const pid_t child = fork();
  if (child == 0) _exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string kind = argc > 1 ? argv[1] : "";
  Tally tally;
  if (kind == "nothing") {
    serve([] {});
  } else if (kind == "idle") {
    std::thread other([] { std::this_thread::sleep_for(std::chrono::seconds(3)); });
    other.join();
  } else if (kind == "fork") {
    void* data = mmap(nullptr, kData, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(data, kData, MADV_NOHUGEPAGE);
    std::memset(data, 1, kData);
    serve([&] {
      timed(tally, fork_child);
      while (wait(nullptr) > 0) {
      }
    });
  } else if (kind == "world") {
    stop_the_world(tally);
  } else if (kind == "unmap") {
    std::vector<void*> mappings;
    for (int i = 0; i < kRequests / kEach; ++i) {
      mappings.push_back(mmap(nullptr, kPart, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
      madvise(mappings.back(), kPart, MADV_NOHUGEPAGE);
      std::memset(mappings.back(), 1, kPart);
    }
    serve([&] {
      timed(tally, [&] { munmap(mappings.back(), kPart); });
      mappings.pop_back();
    });
  } else if (kind == "free") {
    std::vector<std::unique_ptr<std::set<unsigned>>> sets;
    for (int i = 0; i < kRequests / kEach; ++i) {
      sets.push_back(std::make_unique<std::set<unsigned>>());
      for (unsigned value = 0; value < 400'000; ++value) sets.back()->insert(value * 2654435761u);
    }
    serve([&] {
      timed(tally, [&] { sets.back().reset(); });
      sets.pop_back();
    });
  } else {
    return 2;
  }
  std::printf("count=%d seconds=%.6f\n", tally.count, tally.seconds);
  return 0;
}
