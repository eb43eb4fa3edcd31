// SPDX-License-Identifier: Apache-2.0
// Rows of growing cost for two threads: bad gives each half of the rows, fixed lets them take row by row.
#include <atomic>
#include <thread>
#include <vector>

#include "tests/workloads/measure.h"

namespace {

constexpr std::uint64_t kRows = 600, kThreads = 2;

[[gnu::noinline]] std::uint64_t process_row(std::uint64_t row) {
  std::uint64_t value = row;
  const std::uint64_t cost = row * row * 9;
  for (std::uint64_t i = 0; i < cost; ++i) value = workload::mix(value + i);
  return value;
}

[[gnu::noinline]] std::uint64_t split_by_count() {
  std::atomic<std::uint64_t> checksum{0};
  std::vector<std::thread> threads;
  for (std::uint64_t part = 0; part < kThreads; ++part)
    threads.emplace_back([&checksum, part] {
      for (std::uint64_t row = part * kRows / kThreads; row < (part + 1) * kRows / kThreads; ++row) checksum.fetch_xor(process_row(row));
    });
  for (std::thread& thread : threads) thread.join();
  return checksum;
}

[[gnu::noinline]] std::uint64_t take_row_by_row() {
  std::atomic<std::uint64_t> checksum{0}, next{0};
  std::vector<std::thread> threads;
  for (std::uint64_t part = 0; part < kThreads; ++part)
    threads.emplace_back([&] {
      for (std::uint64_t taken = next++; taken < kRows; taken = next++) checksum.fetch_xor(process_row(kRows - 1 - taken));
    });
  for (std::thread& thread : threads) thread.join();
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return split_by_count(); }, [](double&) { return take_row_by_row(); });
}
