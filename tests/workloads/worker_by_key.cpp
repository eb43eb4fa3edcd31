// SPDX-License-Identifier: Apache-2.0
// Four workers with a queue each: bad hands every task to the worker of its customer, and one customer sends most of them; fixed hands it
// to the shortest queue.
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "tests/workloads/slow_service.h"

namespace {

constexpr std::uint64_t kTasks = 1'500;
constexpr std::size_t kWorkers = 4;
constexpr std::chrono::microseconds kBetween{600};
constexpr double kAnswerTakes = 0.0015;

std::atomic<std::uint64_t> checksum{0};

[[gnu::noinline]] void render_invoice(const workload::SlowService& service, int connection, std::uint64_t task) {
  task = service.ask(connection, task);
  for (int i = 0; i < 50'000; ++i) task = workload::mix(task + static_cast<std::uint64_t>(i));
  checksum += task;
}

class Worker {
 public:
  Worker(const workload::SlowService& service, int connection) : service_(service), connection_(connection), thread_([this] { work(); }) {}
  ~Worker() {
    give(kEnd);
    thread_.join();
  }
  void give(std::uint64_t task) {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(task);
    ++length_;
    wake_.notify_one();
  }
  std::size_t length() const { return length_; }

 private:
  static constexpr std::uint64_t kEnd = ~std::uint64_t{0};

  void work() {
    for (;;) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return !tasks_.empty(); });
      const std::uint64_t task = tasks_.front();
      tasks_.pop_front();
      lock.unlock();
      if (task == kEnd) return;
      render_invoice(service_, connection_, task);
      --length_;
    }
  }

  const workload::SlowService& service_;
  const int connection_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::uint64_t> tasks_;
  std::atomic<std::size_t> length_{0};
  std::thread thread_;
};

std::size_t customer_of(std::uint64_t task) { return task % 10 < 8 ? 0 : 1 + task % 3; }

template <class Choose>
std::uint64_t serve(Choose choose) {
  const workload::SlowService service(kWorkers, kAnswerTakes);
  {
    std::array<Worker, kWorkers> workers{{{service, 0}, {service, 1}, {service, 2}, {service, 3}}};
    for (std::uint64_t task = 0; task < kTasks; ++task) {
      workers[choose(workers, task)].give(task);
      std::this_thread::sleep_for(kBetween);
    }
  }
  return checksum;
}

using Workers = std::array<Worker, kWorkers>;
std::size_t by_customer(const Workers&, std::uint64_t task) { return customer_of(task); }
std::size_t shortest(const Workers& workers, std::uint64_t task) {
  std::size_t best = task % kWorkers;
  for (std::size_t i = 0; i < kWorkers; ++i)
    if (workers[i].length() < workers[best].length()) best = i;
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return serve(by_customer); }, [](double&) { return serve(shortest); });
}
