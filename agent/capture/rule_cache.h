// SPDX-License-Identifier: Apache-2.0
// Rules found so far, by instruction address: two-way set-associative, global, lock-free. Any thread, any signal handler.
// An entry is two words, (key ^ rule, rule): a reader that sees halves of two writes computes a key that is not its own and
// takes it for a miss. The generation is part of the key, so raising it voids everything. Zero pages are an empty cache.
#pragma once
#include <atomic>
#include <bit>
#include <cstdint>

#include "agent/capture/cfi.h"

namespace tailback::capture {

struct RuleCache {
  static constexpr unsigned kSetBits = 15;

  struct Entry {
    std::atomic<std::uint64_t> check, rule;
  };

  // Within one generation different addresses have different keys: the factor is odd.
  static std::uint64_t key(std::uint64_t address, std::uint64_t salt) { return address * 0x9e3779b97f4a7c15ull ^ salt; }
  static std::uint64_t salt(std::uint32_t generation) { return generation * 0xd6e8feb86659fd93ull; }

  // Kind `none` when it is not there.
  Rule find(std::uint64_t key) const {
    const Entry* set = sets[key >> (64 - kSetBits)];
    const auto first = set[0].rule.load(std::memory_order_relaxed);
    if ((set[0].check.load(std::memory_order_relaxed) ^ first) == key) [[likely]] return std::bit_cast<Rule>(first);
    const auto second = set[1].rule.load(std::memory_order_relaxed);
    if ((set[1].check.load(std::memory_order_relaxed) ^ second) == key) return std::bit_cast<Rule>(second);
    return make_rule(RuleKind::none);
  }

  void insert(std::uint64_t key, Rule rule) {
    Entry* set = sets[key >> (64 - kSetBits)];
    const auto word = std::bit_cast<std::uint64_t>(rule);
    const auto older = set[0].rule.load(std::memory_order_relaxed);
    set[1].check.store(set[0].check.load(std::memory_order_relaxed), std::memory_order_relaxed);
    set[1].rule.store(older, std::memory_order_relaxed);
    set[0].check.store(key ^ word, std::memory_order_relaxed);
    set[0].rule.store(word, std::memory_order_relaxed);
    inserted.fetch_add(1, std::memory_order_relaxed);
  }

  Entry sets[1u << kSetBits][2];
  std::atomic<std::uint64_t> inserted;
};

}  // namespace tailback::capture
