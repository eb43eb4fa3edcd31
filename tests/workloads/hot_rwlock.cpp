// SPDX-License-Identifier: Apache-2.0
// Messages whose next hop stands in a small table that hardly ever changes: bad looks it up under a lock for readers, whose count of
// readers all threads write to; fixed reads the snapshot that was published last, which nobody writes to.
#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "tests/workloads/measure.h"

namespace {

constexpr int kThreads = 4;
constexpr std::uint64_t kMessages = 20'000'000;  // of each thread

using Hops = std::array<std::uint32_t, 256>;

class RouteTable {
 public:
  void replace(const Hops& hops) {
    const std::unique_lock lock(mutex_);
    hops_ = hops;
    published_.push_back(std::make_unique<const Hops>(hops));  // older ones may still be read: they stay
    current_.store(published_.back().get(), std::memory_order_release);
  }
  [[gnu::noinline]] std::uint32_t hop_under_lock(std::uint64_t address) {
    const std::shared_lock lock(mutex_);
    return hops_[address % hops_.size()];
  }
  [[gnu::noinline]] std::uint32_t hop_in_snapshot(std::uint64_t address) const {
    const Hops& hops = *current_.load(std::memory_order_acquire);
    return hops[address % hops.size()];
  }

 private:
  std::shared_mutex mutex_;
  Hops hops_{};
  std::vector<std::unique_ptr<const Hops>> published_;
  std::atomic<const Hops*> current_ = nullptr;
};

[[gnu::noinline]] std::uint64_t address_of(std::uint64_t message) {
  for (int i = 0; i < 3; ++i) message = workload::mix(message + static_cast<std::uint64_t>(i));
  return message;
}

template <class Lookup>
std::uint64_t forward_messages(Lookup hop) {
  RouteTable table;
  Hops hops;
  for (std::size_t i = 0; i < hops.size(); ++i) hops[i] = static_cast<std::uint32_t>(workload::mix(i));
  table.replace(hops);
  std::array<std::uint64_t, kThreads> sums{};
  std::vector<std::thread> threads;
  for (std::uint64_t thread = 0; thread < kThreads; ++thread)
    threads.emplace_back([&, thread] {
      std::uint64_t sum = 0;
      for (std::uint64_t message = 0; message < kMessages; ++message) sum += hop(table, address_of(thread * kMessages + message));
      sums[thread] = sum;
    });
  for (std::thread& thread : threads) thread.join();
  std::uint64_t checksum = 0;
  for (const std::uint64_t sum : sums) checksum = workload::mix(checksum ^ sum);
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(
      argc, argv, [](double&) { return forward_messages([](RouteTable& table, std::uint64_t address) { return table.hop_under_lock(address); }); },
      [](double&) { return forward_messages([](RouteTable& table, std::uint64_t address) { return table.hop_in_snapshot(address); }); });
}
