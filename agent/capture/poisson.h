// SPDX-License-Identifier: Apache-2.0
// Sampling of allocations by bytes: each block of s bytes is sampled with probability p(s) = 1 - exp(-(s + 1) / mean), independently of
// all others, and then stands for 1 / p(s) blocks like it (Horvitz and Thompson, 1952). Signal-safe, no library call.
#pragma once
#include <cstdint>

namespace tailback::capture {

// A random source of one thread; any seed but 0.
struct Random {
  std::uint64_t state;
  // xorshift64* (Vigna, https://doi.org/10.1145/2845077)
  std::uint64_t next() {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1du;
  }
};

// Bytes that pass before the next sample, which is due in the block that brings more: exponentially distributed, rounded down.
std::uint64_t draw_interval(Random& random, std::uint64_t mean);

// What a sampled block of `bytes` stands for.
struct SampleWeight {
  double blocks;    // 1 / p
  double variance;  // of the estimate of their number, as far as this sample tells it: (1 - p) / p^2
};
SampleWeight weight_of(std::uint64_t bytes, std::uint64_t mean);

}  // namespace tailback::capture
