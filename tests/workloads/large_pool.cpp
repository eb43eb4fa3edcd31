// SPDX-License-Identifier: Apache-2.0
// A trickle of tasks: bad keeps 64 workers for it, each with a buffer of its own, fixed four.
#include <atomic>
#include <chrono>

#include "tests/workloads/measure.h"
#include "tests/workloads/worker_pool.h"

namespace {

constexpr std::uint64_t kTasks = 1'000;
constexpr std::chrono::milliseconds kBetween{3};
constexpr int kMany = 64, kEnough = 4;
constexpr std::size_t kBuffer = 16 * 1024;

std::atomic<std::uint64_t> checksum{0};

[[gnu::noinline]] void encode_message(std::uint64_t task) {
  volatile std::uint8_t buffer[kBuffer];
  for (std::size_t i = 0; i < kBuffer; ++i) buffer[i] = static_cast<std::uint8_t>(workload::mix(task + i));
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < kBuffer; ++i) sum += buffer[i];
  checksum += sum;
}

std::uint64_t serve(int workers, double& latency) {
  workload::WorkerPool pool(workers);
  std::atomic<double> waited{0};
  for (std::uint64_t task = 0; task < kTasks; ++task) {
    const double submitted = workload::now();
    pool.submit([&waited, task, submitted](int) {
      encode_message(task);
      waited += workload::now() - submitted;
    });
    std::this_thread::sleep_for(kBetween);
  }
  const std::uint64_t sum = checksum;
  latency = waited / static_cast<double>(kTasks);
  return workload::memory_bytes("VmRSS") > 0 ? sum : 0;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double& latency) { return serve(kMany, latency); }, [](double& latency) { return serve(kEnough, latency); });
}
