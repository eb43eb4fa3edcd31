// SPDX-License-Identifier: Apache-2.0
// An epoll server: now and then a client asks for a statement that takes 80 ms to compute. bad computes it on the loop, and everybody else
// waits; fixed hands it to a worker, which wakes the loop with the result.
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

#include "tests/workloads/request_loop.h"

namespace {

using workload::Request;
using workload::RequestLoop;

constexpr workload::Asking kQuick{6, 900, std::chrono::microseconds(2'000), false};
constexpr workload::Asking kStatements{1, 12, std::chrono::microseconds(90'000), true};
constexpr std::uint64_t kEntries = 24'000'000;  // of a statement

[[gnu::noinline]] std::uint64_t compute_statement(std::uint64_t account) {
  std::uint64_t balance = account;
  for (std::uint64_t entry = 0; entry < kEntries; ++entry) balance = workload::mix(balance + entry);
  return balance;
}

[[gnu::noinline]] void serve_on_loop(int client, const Request& request) {
  RequestLoop::answer(client, request.slow ? compute_statement(request.number) : workload::quick_answer(request.number));
}

// One thread that computes statements, in the order in which they were asked for.
class Worker {
 public:
  explicit Worker(const RequestLoop& loop) : loop_(loop), thread_([this] { work(); }) {}
  ~Worker() {
    give({-1, 0});
    thread_.join();
  }
  void compute(int client, std::uint64_t account) { give({client, account}); }
  [[gnu::noinline]] void send_results() {
    const std::lock_guard lock(mutex_);
    for (; !done_.empty(); done_.pop_front()) RequestLoop::answer(done_.front().first, done_.front().second);
  }

 private:
  using Job = std::pair<int, std::uint64_t>;  // client, account or result
  void give(Job job) {
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(job);
    }
    given_.notify_one();
  }
  Job take() {
    std::unique_lock lock(mutex_);
    given_.wait(lock, [this] { return !waiting_.empty(); });
    const Job job = waiting_.front();
    waiting_.pop_front();
    return job;
  }
  void work() {
    for (Job job; (job = take()).first >= 0;) {
      const std::uint64_t result = compute_statement(job.second);
      {
        const std::lock_guard lock(mutex_);
        done_.emplace_back(job.first, result);
      }
      loop_.wake();
    }
  }

  const RequestLoop& loop_;
  std::mutex mutex_;
  std::condition_variable given_;
  std::deque<Job> waiting_, done_;
  std::thread thread_;
};

template <class Serve>
std::uint64_t run(double& latency, Serve&& serve) {
  RequestLoop loop;
  std::thread server([&] { serve(loop); });
  workload::Clients clients;
  clients.start(loop.port(), kQuick);
  clients.start(loop.port(), kStatements);
  const std::uint64_t checksum = clients.finish(latency);
  server.join();
  return checksum;
}

void serve_all_on_loop(RequestLoop& loop) {
  loop.run(kQuick.clients + kStatements.clients, serve_on_loop, [] {});
}

void serve_with_worker(RequestLoop& loop) {
  Worker worker(loop);
  const auto handle = [&](int client, const Request& request) {
    if (request.slow) worker.compute(client, request.number);
    else RequestLoop::answer(client, workload::quick_answer(request.number));
  };
  loop.run(kQuick.clients + kStatements.clients, handle, [&] { worker.send_results(); });
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double& latency) { return run(latency, serve_all_on_loop); }, [](double& latency) { return run(latency, serve_with_worker); });
}
