// SPDX-License-Identifier: Apache-2.0
// A server whose index of a million entries is made anew by another thread now and then: bad lets the thread that answers tear the old one
// down; fixed hands the old one back to the thread that makes the new one.
#include <atomic>
#include <map>
#include <memory>
#include <utility>

#include "tests/workloads/requests.h"

namespace {

constexpr std::uint64_t kEntries = 600'000, kIndexes = 5;
constexpr std::uint64_t kRequests = 1'000;
constexpr std::chrono::microseconds kPause{5'000};
using Index = std::map<std::uint64_t, std::uint64_t>;

std::unique_ptr<Index> make_index(std::uint64_t number) {
  auto index = std::make_unique<Index>();
  for (std::uint64_t i = 0; i < kEntries; ++i) index->emplace(workload::mix(i + number), i);
  return index;
}

// The newest index lies here until the thread that answers takes it.
class Exchange {
 public:
  ~Exchange() { delete fresh_.load(), delete old_.load(); }
  void offer(std::unique_ptr<Index> index) { delete fresh_.exchange(index.release()); }
  std::unique_ptr<Index> take() { return std::unique_ptr<Index>(fresh_.exchange(nullptr)); }
  void give_back(std::unique_ptr<Index> index) { delete old_.exchange(index.release()); }
  void free_old() { delete old_.exchange(nullptr); }

 private:
  std::atomic<Index*> fresh_{nullptr}, old_{nullptr};
};

[[gnu::noinline]] void replace_and_free(std::unique_ptr<Index>& current, std::unique_ptr<Index> fresh) { current = std::move(fresh); }

std::uint64_t serve(bool free_elsewhere, double& latency) {
  Exchange exchange;
  std::unique_ptr<Index> current = make_index(0);
  std::atomic<bool> over{false};
  std::thread maker([&] {
    for (std::uint64_t number = 1; number <= kIndexes; ++number) {
      auto index = make_index(number);
      exchange.offer(std::move(index));
      for (int i = 0; i < 50 && !over; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10)), exchange.free_old();
    }
  });
  const std::uint64_t checksum = workload::serve_requests(kRequests, kPause, [&](std::uint64_t request) {
    if (auto fresh = exchange.take()) {
      if (free_elsewhere) std::swap(current, fresh), exchange.give_back(std::move(fresh));
      else replace_and_free(current, std::move(fresh));
    }
    return workload::usual_answer(request);
  }, latency);
  over = true;
  maker.join();
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double& latency) { return serve(false, latency); }, [](double& latency) { return serve(true, latency); });
}
