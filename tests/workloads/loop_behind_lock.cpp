// SPDX-License-Identifier: Apache-2.0
// An epoll server with a table that a thread compacts now and then, for 60 ms under the table's lock. bad lets the loop wait for the lock when
// a client changes the table meanwhile, and everybody else waits with it; fixed tries, and makes the change when the compaction is over.
#include <mutex>
#include <utility>

#include "tests/workloads/request_loop.h"

namespace {

using workload::Request;
using workload::RequestLoop;

constexpr workload::Asking kQuick{6, 600, std::chrono::microseconds(2'500), false};
constexpr workload::Asking kChanges{1, 70, std::chrono::microseconds(11'000), true};
constexpr std::uint64_t kRows = 22'000'000;  // looked at by a compaction
constexpr auto kBetween = std::chrono::milliseconds(60);

class Table {
 public:
  [[gnu::noinline]] std::uint64_t change_row(std::uint64_t number) {
    const std::lock_guard lock(mutex_);
    return change(number);
  }
  [[gnu::noinline]] bool try_change_row(std::uint64_t number, std::uint64_t& result) {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (lock) result = change(number);
    return lock.owns_lock();
  }
  [[gnu::noinline]] void compact() {
    const std::lock_guard lock(mutex_);
    std::uint64_t kept = compacted_;
    for (std::uint64_t row = 0; row < kRows; ++row) kept = workload::mix(kept + row);
    compacted_ = kept;
  }

 private:
  std::uint64_t change(std::uint64_t number) {
    ++changes_;
    return workload::mix(number);
  }
  std::mutex mutex_;
  std::uint64_t changes_ = 0, compacted_ = 0;
};

template <class Serve>
std::uint64_t run(double& latency, Serve&& serve) {
  RequestLoop loop;
  Table table;
  std::atomic<bool> over{false};
  std::thread server([&] { serve(loop, table); });
  std::thread compaction([&] {
    while (!over) {
      table.compact();
      loop.wake();
      std::this_thread::sleep_for(kBetween);
    }
  });
  workload::Clients clients;
  clients.start(loop.port(), kQuick);
  clients.start(loop.port(), kChanges);
  const std::uint64_t checksum = clients.finish(latency);
  server.join();
  over = true;
  compaction.join();
  return checksum;
}

[[gnu::noinline]] void serve_waiting(RequestLoop& loop, Table& table) {
  const auto handle = [&](int client, const Request& request) {
    RequestLoop::answer(client, request.slow ? table.change_row(request.number) : workload::quick_answer(request.number));
  };
  loop.run(kQuick.clients + kChanges.clients, handle, [] {});
}

void serve_trying(RequestLoop& loop, Table& table) {
  std::vector<std::pair<int, Request>> put_off;
  const auto change = [&](int client, const Request& request) {
    std::uint64_t result = 0;
    if (!table.try_change_row(request.number, result)) return false;
    RequestLoop::answer(client, result);
    return true;
  };
  const auto handle = [&](int client, const Request& request) {
    if (!request.slow) RequestLoop::answer(client, workload::quick_answer(request.number));
    else if (!change(client, request)) put_off.emplace_back(client, request);
  };
  loop.run(kQuick.clients + kChanges.clients, handle, [&] { std::erase_if(put_off, [&](const auto& one) { return change(one.first, one.second); }); });
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double& latency) { return run(latency, serve_waiting); }, [](double& latency) { return run(latency, serve_trying); });
}
