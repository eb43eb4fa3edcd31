// SPDX-License-Identifier: Apache-2.0
// Sixty-four equal jobs at once: bad gives each a thread, fixed runs them in as many threads as there are CPUs. The whole
// takes the same time; what suffers is when a single job is done.
#include <atomic>
#include <thread>
#include <vector>

#include "tests/workloads/measure.h"

namespace {

constexpr std::uint64_t kJobs = 64;

[[gnu::noinline]] std::uint64_t run_job(std::uint64_t job) {
  for (int i = 0; i < 12'000'000; ++i) job = workload::mix(job + static_cast<std::uint64_t>(i));
  return job;
}

std::uint64_t run_in_threads(unsigned threads, double& latency) {
  std::atomic<std::uint64_t> checksum{0}, next{0};
  std::vector<double> done(kJobs);
  const double start = workload::now();
  std::vector<std::thread> workers;
  for (unsigned i = 0; i < threads; ++i)
    workers.emplace_back([&] {
      for (std::uint64_t job = next++; job < kJobs; job = next++) {
        checksum.fetch_xor(run_job(job));
        done[job] = workload::now() - start;
      }
    });
  for (std::thread& worker : workers) worker.join();
  for (const double seconds : done) latency += seconds / static_cast<double>(kJobs);
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(
      argc, argv, [](double& latency) { return run_in_threads(kJobs, latency); },
      [](double& latency) { return run_in_threads(std::thread::hardware_concurrency(), latency); });
}
