// SPDX-License-Identifier: Apache-2.0
// Two workers that have time for all tasks: bad brings those of a second at once, so that each waits for the ones before it; fixed
// brings them one after the other.
#include <atomic>
#include <chrono>

#include "tests/workloads/measure.h"
#include "tests/workloads/worker_pool.h"

namespace {

using std::chrono::steady_clock;

constexpr std::uint64_t kTasks = 3'000, kOfABurst = 1'000;
constexpr std::chrono::microseconds kBetween{1'000};

std::atomic<std::uint64_t> checksum{0};
std::atomic<double> taken{0};

[[gnu::noinline]] std::uint64_t encode_part(std::uint64_t part) {
  for (int i = 0; i < 200'000; ++i) part = workload::mix(part + static_cast<std::uint64_t>(i));
  return part;
}

[[gnu::noinline]] void bring_part(workload::WorkerPool& pool, std::uint64_t part) {
  const double brought = workload::now();
  pool.submit([part, brought](int) {
    checksum += encode_part(part);
    taken += workload::now() - brought;
  });
}

std::uint64_t encode(std::uint64_t at_once, double& latency) {
  workload::WorkerPool pool(2);
  auto next = steady_clock::now();
  for (std::uint64_t part = 0; part < kTasks; part += at_once) {
    for (std::uint64_t i = 0; i < at_once; ++i) bring_part(pool, part + i);
    std::this_thread::sleep_until(next += at_once * kBetween);
  }
  pool.finish();
  latency = taken / static_cast<double>(kTasks);
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double& latency) { return encode(kOfABurst, latency); }, [](double& latency) { return encode(1, latency); });
}
