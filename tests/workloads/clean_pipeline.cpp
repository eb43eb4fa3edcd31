// SPDX-License-Identifier: Apache-2.0
// Nothing to fix: two threads share different kinds of numeric work evenly, each piece taken from a common counter. Both
// variants are the same.
#include <array>
#include <atomic>
#include <cmath>
#include <thread>
#include <vector>

#include "tests/workloads/measure.h"

namespace {

constexpr std::uint64_t kPieces = 1'600;
using Matrix = std::array<double, 48 * 48>;

[[gnu::noinline]] std::uint64_t multiply(std::uint64_t seed) {
  Matrix a{}, b{}, c{};
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<double>((seed + i) % 13), b[i] = static_cast<double>((seed * 3 + i) % 7);
  for (int repeat = 0; repeat < 26; ++repeat)
    for (std::size_t i = 0; i < 48; ++i)
      for (std::size_t k = 0; k < 48; ++k)
        for (std::size_t j = 0; j < 48; ++j) c[i * 48 + j] += a[i * 48 + k] * b[k * 48 + j];
  return static_cast<std::uint64_t>(c[seed % c.size()]);
}

[[gnu::noinline]] std::uint64_t scramble(std::uint64_t seed) {
  for (int i = 0; i < 700'000; ++i) seed = workload::mix(seed + static_cast<std::uint64_t>(i));
  return seed;
}

[[gnu::noinline]] std::uint64_t sieve(std::uint64_t seed) {
  std::vector<bool> composite(180'000);
  std::uint64_t count = seed % 2;
  for (std::size_t i = 2; i < composite.size(); ++i) {
    if (composite[i]) continue;
    ++count;
    for (std::size_t j = i * 2; j < composite.size(); j += i) composite[j] = true;
  }
  return count;
}

[[gnu::noinline]] std::uint64_t integrate(std::uint64_t seed) {
  double sum = 0;
  for (int i = 0; i < 420'000; ++i) sum += std::sqrt(static_cast<double>(seed + static_cast<std::uint64_t>(i))) / (1.0 + i);
  return static_cast<std::uint64_t>(sum * 1e6);
}

[[gnu::noinline]] std::uint64_t triangulate(std::uint64_t seed) {
  std::vector<std::uint32_t> row(900);
  for (std::size_t round = 0; round < 1800; ++round)
    for (std::size_t i = row.size() - 1; i > 0; --i) row[i] += row[i - 1] ^ static_cast<std::uint32_t>(seed + round);
  return row.back();
}

std::uint64_t piece(std::uint64_t number) {
  switch (number % 5) {
    case 0: return multiply(number);
    case 1: return scramble(number);
    case 2: return sieve(number);
    case 3: return integrate(number);
    default: return triangulate(number);
  }
}

std::uint64_t run_all() {
  std::atomic<std::uint64_t> next{0}, checksum{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i)
    threads.emplace_back([&] {
      for (std::uint64_t number = next++; number < kPieces; number = next++) checksum.fetch_xor(workload::mix(piece(number) + number));
    });
  for (std::thread& thread : threads) thread.join();
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return run_all(); }, [](double&) { return run_all(); });
}
