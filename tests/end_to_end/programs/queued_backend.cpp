// SPDX-License-Identifier: Apache-2.0
// usage: queued_backend one|all: four threads ask another process, which answers one question at a time or all of them; questions come in waves.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "tests/workloads/slow_service.h"
#include "tests/workloads/worker_pool.h"

namespace {

constexpr int kWorkers = 4;
constexpr double kAnswerTakes = 0.004;
constexpr double kRates[] = {60, 100, 150, 200, 1000, 150, 120, 90, 1000, 60, 150, 100};  // a second; four at a time are done with 1000

std::atomic<std::uint64_t> checksum{0};

[[gnu::noinline]] void look_up_account(const workload::SlowService& service, int worker, std::uint64_t task) { checksum += service.ask(worker, task); }

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const bool one = std::strcmp(argv[1], "one") == 0;
  const workload::SlowService service(kWorkers, kAnswerTakes, one ? workload::SlowService::one_by_one : workload::SlowService::together);
  workload::WorkerPool pool(kWorkers);
  auto next = std::chrono::steady_clock::now();
  std::uint64_t tasks = 0;
  for (const double rate : kRates)
    for (double t = 0; t < 0.5; t += 1 / rate) {
      pool.submit([&service, task = tasks++](int worker) { look_up_account(service, worker, task); });
      std::this_thread::sleep_until(next += std::chrono::microseconds(static_cast<long>(1e6 / rate)));
    }
  pool.finish();
  std::printf("%llu\n", static_cast<unsigned long long>(tasks));
}
