// SPDX-License-Identifier: Apache-2.0
// Jobs handed to a worker one by one, each needed before the next: bad looks for the result every 10 ms, fixed is woken by a
// condition variable.
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "tests/workloads/measure.h"

namespace {

constexpr std::uint64_t kJobs = 120;

// Some take longer than the sleeps between two looks.
[[gnu::noinline]] std::uint64_t do_job(std::uint64_t job) {
  const int steps = job % 3 == 0 ? 3'600'000 : 900'000;
  for (int i = 0; i < steps; ++i) job = workload::mix(job + static_cast<std::uint64_t>(i));
  return job;
}

class Worker {
 public:
  Worker() : thread_([this] { work(); }) {}
  ~Worker() {
    hand_over(kStop);
    thread_.join();
  }
  void hand_over(std::uint64_t job) {
    const std::lock_guard lock(mutex_);
    job_ = job;
    changed_.notify_all();
  }
  std::optional<std::uint64_t> result() {
    const std::lock_guard lock(mutex_);
    return std::exchange(result_, {});
  }
  std::uint64_t await_result() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return result_.has_value(); });
    return *std::exchange(result_, {});
  }

 private:
  static constexpr std::uint64_t kStop = ~0ull;
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return job_.has_value(); });
      const std::uint64_t job = *std::exchange(job_, {});
      if (job == kStop) return;
      lock.unlock();
      const std::uint64_t result = do_job(job);
      lock.lock();
      result_ = result;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<std::uint64_t> job_, result_;
  std::thread thread_;
};

[[gnu::noinline]] std::uint64_t look_for_result(Worker& worker) {
  for (;;) {
    if (const auto result = worker.result()) return *result;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

[[gnu::noinline]] std::uint64_t wait_for_result(Worker& worker) { return worker.await_result(); }

template <class Wait>
std::uint64_t run_jobs(Wait wait, double& latency) {
  Worker worker;
  std::uint64_t checksum = 0;
  const double start = workload::now();
  for (std::uint64_t job = 0; job < kJobs; ++job) {
    worker.hand_over(job);
    checksum ^= wait(worker);
  }
  latency = (workload::now() - start) / static_cast<double>(kJobs);
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(
      argc, argv, [](double& latency) { return run_jobs(look_for_result, latency); },
      [](double& latency) { return run_jobs(wait_for_result, latency); });
}
