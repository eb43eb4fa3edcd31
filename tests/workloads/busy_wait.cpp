// SPDX-License-Identifier: Apache-2.0
// A consumer waits for each batch: bad polls a flag, fixed blocks on it. The producer mostly waits itself (a device, say).
#include <atomic>
#include <chrono>
#include <thread>

#include "tests/workloads/measure.h"

namespace {

constexpr int kBatches = 40;
constexpr auto kBetweenBatches = std::chrono::milliseconds(50);

struct Mailbox {
  std::atomic<std::uint64_t> ready{0};
  std::uint64_t batch = 0;
};

[[gnu::noinline]] std::uint64_t poll_for_batch(const Mailbox& mailbox, std::uint64_t wanted) {
  while (mailbox.ready.load(std::memory_order_acquire) < wanted) {
  }
  return mailbox.batch;
}

[[gnu::noinline]] std::uint64_t block_for_batch(const Mailbox& mailbox, std::uint64_t wanted) {
  for (std::uint64_t seen = mailbox.ready.load(std::memory_order_acquire); seen < wanted; seen = mailbox.ready.load(std::memory_order_acquire))
    mailbox.ready.wait(seen, std::memory_order_acquire);
  return mailbox.batch;
}

[[gnu::noinline]] std::uint64_t digest(std::uint64_t batch) {
  for (int i = 0; i < 400'000; ++i) batch = workload::mix(batch + static_cast<std::uint64_t>(i));
  return batch;
}

template <class Wait>
std::uint64_t exchange(Wait wait) {
  Mailbox mailbox;
  std::uint64_t checksum = 0;
  std::atomic<std::uint64_t> taken{0};
  std::thread consumer([&] {
    for (std::uint64_t batch = 1; batch <= kBatches; ++batch) {
      checksum ^= digest(wait(mailbox, batch));
      taken.store(batch, std::memory_order_release);
      taken.notify_one();
    }
  });
  for (std::uint64_t batch = 1; batch <= kBatches; ++batch) {
    std::this_thread::sleep_for(kBetweenBatches);
    for (std::uint64_t done = taken.load(); done < batch - 1; done = taken.load()) taken.wait(done);
    mailbox.batch = batch * 977;
    mailbox.ready.store(batch, std::memory_order_release);
    mailbox.ready.notify_one();
  }
  consumer.join();
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return exchange(poll_for_batch); }, [](double&) { return exchange(block_for_batch); });
}
