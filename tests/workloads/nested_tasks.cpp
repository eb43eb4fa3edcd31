// SPDX-License-Identifier: Apache-2.0
// Tasks that wait for tasks of their own pool: bad submits the second half of each to the pool and waits for it, with a limit of time
// since nobody may be left to run it; fixed runs it at once.
#include <atomic>
#include <chrono>
#include <future>
#include <memory>

#include "tests/workloads/measure.h"
#include "tests/workloads/worker_pool.h"

namespace {

constexpr std::uint64_t kOrders = 120;
constexpr int kWorkers = 3, kAtATime = 6;
constexpr std::chrono::milliseconds kPatience{100};

[[gnu::noinline]] std::uint64_t compute(std::uint64_t x) {
  for (int i = 0; i < 1'000'000; ++i) x = workload::mix(x + static_cast<std::uint64_t>(i));
  return x;
}

struct Half {  // computed once, by whoever comes first
  std::atomic<bool> taken{false};
  std::promise<std::uint64_t> result;
  void run(std::uint64_t order) {
    if (!taken.exchange(true)) result.set_value(compute(order + kOrders));
  }
};

[[gnu::noinline]] std::uint64_t price_order(workload::WorkerPool& pool, std::uint64_t order) {
  const auto half = std::make_shared<Half>();
  std::future<std::uint64_t> result = half->result.get_future();
  pool.submit([half, order](int) { half->run(order); });
  const std::uint64_t first = compute(order);
  if (result.wait_for(kPatience) == std::future_status::timeout) half->run(order);
  return first ^ result.get();
}

[[gnu::noinline]] std::uint64_t price_order_at_once(workload::WorkerPool&, std::uint64_t order) { return compute(order) ^ compute(order + kOrders); }

template <class Price>
std::uint64_t price_all(Price price) {
  std::atomic<std::uint64_t> checksum{0};
  workload::WorkerPool pool(kWorkers);
  for (std::uint64_t order = 0; order < kOrders; order += kAtATime) {
    std::vector<std::future<void>> done;
    for (std::uint64_t i = order; i < order + kAtATime; ++i) {
      const auto finished = std::make_shared<std::promise<void>>();
      done.push_back(finished->get_future());
      pool.submit([&, i, finished](int) {
        checksum += price(pool, i);
        finished->set_value();
      });
    }
    for (auto& one : done) one.wait();
  }
  pool.finish();
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return price_all(price_order); }, [](double&) { return price_all(price_order_at_once); });
}
