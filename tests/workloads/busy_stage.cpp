// SPDX-License-Identifier: Apache-2.0
// A pipeline whose first stage sets the pace: bad decodes in one thread while three consumers wait for items, fixed decodes
// in the consumers.
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/workloads/measure.h"

namespace {

constexpr std::uint64_t kItems = 3'000;
constexpr int kConsumers = 3;

[[gnu::noinline]] std::uint64_t decode_item(std::uint64_t item) {
  for (int i = 0; i < 200'000; ++i) item = workload::mix(item + static_cast<std::uint64_t>(i));
  return item;
}

[[gnu::noinline]] std::uint64_t store_item(std::uint64_t item) {
  for (int i = 0; i < 4'000; ++i) item = workload::mix(item ^ static_cast<std::uint64_t>(i));
  return item;
}

class Queue {
 public:
  void push(std::uint64_t item) {
    {
      const std::lock_guard lock(mutex_);
      items_.push_back(item);
    }
    wake_.notify_one();
  }
  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    wake_.notify_all();
  }
  bool pop(std::uint64_t& item) {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return closed_ || !items_.empty(); });
    if (items_.empty()) return false;
    item = items_.front();
    items_.pop_front();
    return true;
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::uint64_t> items_;
  bool closed_ = false;
};

template <class Produce, class Consume>
std::uint64_t pipeline(Produce produce, Consume consume) {
  Queue queue;
  std::mutex mutex;
  std::uint64_t checksum = 0;
  std::vector<std::thread> consumers;
  for (int i = 0; i < kConsumers; ++i)
    consumers.emplace_back([&] {
      std::uint64_t item = 0, sum = 0;
      while (queue.pop(item)) sum ^= consume(item);
      const std::lock_guard lock(mutex);
      checksum ^= sum;
    });
  for (std::uint64_t item = 0; item < kItems; ++item) queue.push(produce(item));
  queue.close();
  for (std::thread& consumer : consumers) consumer.join();
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(
      argc, argv, [](double&) { return pipeline(decode_item, store_item); },
      [](double&) { return pipeline([](std::uint64_t item) { return item; }, [](std::uint64_t item) { return store_item(decode_item(item)); }); });
}
