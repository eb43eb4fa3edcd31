// SPDX-License-Identifier: Apache-2.0
// Requests in batches of eight: bad starts a thread for each request, fixed hands them to two threads through a queue.
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/workloads/measure.h"

namespace {

constexpr std::uint64_t kRequests = 40'000, kBatch = 8;

[[gnu::noinline]] std::uint64_t handle_request(std::uint64_t request) {
  for (int i = 0; i < 8'000; ++i) request = workload::mix(request + static_cast<std::uint64_t>(i));
  return request;
}

[[gnu::noinline]] std::uint64_t serve_with_threads() {
  std::atomic<std::uint64_t> checksum{0};
  std::vector<std::thread> batch;
  for (std::uint64_t request = 0; request < kRequests; ++request) {
    batch.emplace_back([&checksum, request] { checksum.fetch_xor(handle_request(request)); });
    if (batch.size() < kBatch) continue;
    for (std::thread& thread : batch) thread.join();
    batch.clear();
  }
  return checksum;
}

class Pool {
 public:
  explicit Pool(unsigned threads) {
    for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
  }
  ~Pool() {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  void run(const std::vector<std::function<void()>>& jobs) {
    {
      const std::lock_guard lock(mutex_);
      jobs_.insert(jobs_.end(), jobs.begin(), jobs.end());
      open_ += jobs.size();
    }
    wake_.notify_all();
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return open_ == 0; });
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return done_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      const auto job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      lock.lock();
      if (--open_ == 0) idle_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::deque<std::function<void()>> jobs_;
  std::vector<std::thread> threads_;
  std::size_t open_ = 0;
  bool done_ = false;
};

[[gnu::noinline]] std::uint64_t serve_with_pool() {
  std::atomic<std::uint64_t> checksum{0};
  Pool pool(2);
  std::vector<std::function<void()>> batch;
  for (std::uint64_t request = 0; request < kRequests; ++request) {
    batch.emplace_back([&checksum, request] { checksum.fetch_xor(handle_request(request)); });
    if (batch.size() < kBatch) continue;
    pool.run(batch);
    batch.clear();
  }
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return serve_with_threads(); }, [](double&) { return serve_with_pool(); });
}
