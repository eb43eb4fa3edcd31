// SPDX-License-Identifier: Apache-2.0
// A pool of four for short computations, of which now and then one first asks a slow service: bad runs all in one pool, where those that
// wait keep the others from running, fixed gives the ones that ask a pool of their own.
#include <atomic>
#include <chrono>
#include <optional>

#include "tests/workloads/slow_service.h"
#include "tests/workloads/worker_pool.h"

namespace {

constexpr std::uint64_t kTasks = 800, kOneIn = 16;
constexpr std::chrono::microseconds kBetween{2'500};
constexpr double kAnswerTakes = 0.250;
constexpr int kWorkers = 4, kForWaiting = 12;

std::atomic<std::uint64_t> checksum{0};
std::atomic<double> waited{0};

[[gnu::noinline]] void compute_score(std::uint64_t task) {
  for (int i = 0; i < 200'000; ++i) task = workload::mix(task + static_cast<std::uint64_t>(i));
  checksum += task;
}

[[gnu::noinline]] void fetch_profile(const workload::SlowService& service, int worker, std::uint64_t task) { checksum += service.ask(worker, task); }

std::uint64_t serve(bool apart, double& latency) {
  const workload::SlowService service(kForWaiting, kAnswerTakes);
  std::optional<workload::WorkerPool> for_waiting;
  if (apart) for_waiting.emplace(kForWaiting);
  workload::WorkerPool pool(kWorkers);
  for (std::uint64_t task = 0; task < kTasks; ++task) {
    const double submitted = workload::now();
    const auto run = [&service, task, submitted](int worker) {
      if (task % kOneIn == 0) fetch_profile(service, worker, task);
      compute_score(task);
      waited += workload::now() - submitted;
    };
    if (apart && task % kOneIn == 0) for_waiting->submit(run);
    else pool.submit(run);
    std::this_thread::sleep_for(kBetween);
  }
  pool.finish();
  if (apart) for_waiting->finish();
  latency = waited / static_cast<double>(kTasks);
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double& latency) { return serve(false, latency); }, [](double& latency) { return serve(true, latency); });
}
