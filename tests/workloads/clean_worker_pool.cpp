// SPDX-License-Identifier: Apache-2.0
// Nothing to fix: workers that sleep on a condition variable until a job comes, jobs that come at their own pace, and a line of
// log a second that is flushed so that it can be followed. Both variants are the same.
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/workloads/measure.h"
#include "tests/workloads/scratch_file.h"

namespace {

constexpr std::uint64_t kJobs = 500;
constexpr int kWorkers = 3;
constexpr std::chrono::milliseconds kPause{5};

[[gnu::noinline]] std::uint64_t do_job(std::uint64_t job) {
  for (int i = 0; i < 100'000; ++i) job = workload::mix(job + static_cast<std::uint64_t>(i));
  return job;
}

class Pool {
 public:
  Pool() {
    for (int i = 0; i < kWorkers; ++i) workers_.emplace_back([this] { work(); });
  }
  void submit(std::uint64_t job) {
    {
      const std::lock_guard lock(mutex_);
      jobs_.push_back(job);
    }
    wake_.notify_one();
  }
  std::uint64_t finish() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    return checksum_;
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return closed_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      const std::uint64_t job = jobs_.front();
      jobs_.pop_front();
      lock.unlock();
      const std::uint64_t result = do_job(job);
      lock.lock();
      checksum_ ^= result;
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::uint64_t> jobs_;
  std::vector<std::thread> workers_;
  std::uint64_t checksum_ = 0;
  bool closed_ = false;
};

class Log {
 public:
  Log() : out_(std::fopen(file_.path().c_str(), "w")) { workload::require(out_, "fopen"); }
  ~Log() { std::fclose(out_); }
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
  void once_a_second(std::uint64_t jobs) {
    if (workload::now() < next_) return;
    next_ += 1;
    std::fprintf(out_, "%llu jobs submitted\n", static_cast<unsigned long long>(jobs));
    std::fflush(out_);
  }

 private:
  workload::ScratchFile file_;
  std::FILE* out_;
  double next_ = workload::now() + 1;
};

std::uint64_t feed_pool() {
  Pool pool;
  Log log;
  for (std::uint64_t job = 0; job < kJobs; ++job) {
    pool.submit(job);
    log.once_a_second(job + 1);
    std::this_thread::sleep_for(kPause);
  }
  return pool.finish();
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return feed_pool(); }, [](double&) { return feed_pool(); });
}
