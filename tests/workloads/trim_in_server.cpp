// SPDX-License-Identifier: Apache-2.0
// A server whose thread that answers gives all free memory back after each large report: bad by malloc_trim in between requests; fixed keeps it.
// What the reports leave is freed again, and its pages would be used by the next.
#include <malloc.h>

#include <vector>

#include "tests/workloads/requests.h"

namespace {

constexpr std::uint64_t kRequests = 800, kEach = 80;
constexpr std::chrono::microseconds kPause{5'000};
constexpr std::size_t kBlocks = 60'000, kBlockBytes = 8'000;

// Made by the client's side of the program, freed by the thread that answers.
struct Report {
  std::vector<void*> blocks;
  Report() {
    for (std::size_t i = 0; i < kBlocks; ++i) {
      blocks.push_back(std::malloc(kBlockBytes));
      static_cast<char*>(blocks.back())[0] = static_cast<char*>(blocks.back())[kBlockBytes / 2] = 1;
    }
  }
  ~Report() {
    for (void* block : blocks) std::free(block);
  }
  Report(const Report&) = delete;
  Report& operator=(const Report&) = delete;
};

[[gnu::noinline]] void make_report() {
  std::thread([] { const Report report; }).join();
}

[[gnu::noinline]] void give_back_memory() { malloc_trim(0); }

std::uint64_t serve(bool trim, double& latency) {
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_TRIM_THRESHOLD, 2'000'000'000);
  std::thread reporter([] {
    for (std::uint64_t i = 0; i < kRequests / kEach; ++i) {
      make_report();
      std::this_thread::sleep_for(kPause * kEach / 2);
    }
  });
  const std::uint64_t checksum = workload::serve_requests(kRequests, kPause, [&](std::uint64_t request) {
    if (trim && request % kEach == kEach - 1) give_back_memory();
    return workload::usual_answer(request);
  }, latency);
  reporter.join();
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double& latency) { return serve(true, latency); }, [](double& latency) { return serve(false, latency); });
}
