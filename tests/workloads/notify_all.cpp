// SPDX-License-Identifier: Apache-2.0
// Items for a pool of 32 threads, most of which wait at any time: bad wakes all of them for each item, of whom one finds it; fixed
// wakes one of them.
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "tests/workloads/measure.h"

namespace {

constexpr int kWorkers = 32;
constexpr std::uint64_t kItems = 8'000;

[[gnu::noinline]] std::uint64_t receive_item(std::uint64_t number) {
  for (int i = 0; i < 30'000; ++i) number = workload::mix(number + static_cast<std::uint64_t>(i));
  return number;
}

[[gnu::noinline]] std::uint64_t handle_item(std::uint64_t item) {
  for (int i = 0; i < 10'000; ++i) item = workload::mix(item ^ static_cast<std::uint64_t>(i));
  return item;
}

class Queue {
 public:
  [[gnu::noinline]] void push_and_wake_all(std::uint64_t item) {
    add(item);
    arrived_.notify_all();
  }
  [[gnu::noinline]] void push_and_wake_one(std::uint64_t item) {
    add(item);
    arrived_.notify_one();
  }
  std::optional<std::uint64_t> take() {
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [this] { return closed_ || !items_.empty(); });
    if (items_.empty()) return {};
    const std::uint64_t item = items_.front();
    items_.pop_front();
    return item;
  }
  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    arrived_.notify_all();
  }

 private:
  void add(std::uint64_t item) {
    const std::lock_guard lock(mutex_);
    items_.push_back(item);
  }

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::uint64_t> items_;
  bool closed_ = false;
};

template <class Push>
std::uint64_t run_pool(Push push) {
  Queue queue;
  std::vector<std::uint64_t> sums(kWorkers);
  std::vector<std::thread> workers;
  for (std::uint64_t& sum : sums)
    workers.emplace_back([&] {
      while (const auto item = queue.take()) sum += handle_item(*item);
    });
  for (std::uint64_t number = 0; number < kItems; ++number) push(queue, receive_item(number));
  queue.close();
  for (std::thread& worker : workers) worker.join();
  std::uint64_t checksum = 0;
  for (const std::uint64_t sum : sums) checksum += sum;
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(
      argc, argv, [](double&) { return run_pool([](Queue& queue, std::uint64_t item) { queue.push_and_wake_all(item); }); },
      [](double&) { return run_pool([](Queue& queue, std::uint64_t item) { queue.push_and_wake_one(item); }); });
}
