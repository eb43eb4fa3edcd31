// SPDX-License-Identifier: Apache-2.0
// Tasks that wait for a service, submitted at their own pace: bad gives them a pool of two, which falls behind, fixed one of twelve.
#include <atomic>
#include <chrono>

#include "tests/workloads/slow_service.h"
#include "tests/workloads/worker_pool.h"

namespace {

constexpr std::uint64_t kTasks = 600;
constexpr std::chrono::microseconds kBetween{2'500};
constexpr double kAnswerTakes = 0.012;
constexpr int kFew = 2, kEnough = 12;

std::atomic<std::uint64_t> checksum{0};
std::atomic<double> waited{0};

[[gnu::noinline]] void look_up_price(const workload::SlowService& service, int worker, std::uint64_t task) {
  checksum += service.ask(worker, task);
}

std::uint64_t serve(int workers, double& latency) {
  const workload::SlowService service(workers, kAnswerTakes);
  workload::WorkerPool pool(workers);
  auto next = std::chrono::steady_clock::now();
  for (std::uint64_t task = 0; task < kTasks; ++task) {
    const double submitted = workload::now();
    pool.submit([&service, task, submitted](int worker) {
      look_up_price(service, worker, task);
      waited += workload::now() - submitted;
    });
    std::this_thread::sleep_until(next += kBetween);
  }
  pool.finish();
  latency = waited / static_cast<double>(kTasks);
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double& latency) { return serve(kFew, latency); }, [](double& latency) { return serve(kEnough, latency); });
}
