// SPDX-License-Identifier: Apache-2.0
// The live blocks at one moment, by address: which block an address points into. A sorted copy of the live table and, for each page of
// the heap, the first block that reaches into it. Built once; 20 bytes a block and 4 bytes a page of heap, from map_own_pages.
#pragma once
#include <cstdint>

#include "agent/capture/allocations.h"

namespace tailback::engine {

class BlockIndex {
 public:
  static constexpr std::uint32_t kNone = ~0u;

  enum class Built { yes, too_many_blocks, too_many_bytes, no_memory, changed };
  Built build(capture::Allocations& allocations, std::uint64_t most_blocks, std::uint64_t most_bytes);
  void release();
  // Whether the live table still holds exactly these blocks.
  bool still_as_built(capture::Allocations& allocations) const;

  std::uint32_t count() const { return count_; }
  std::uint64_t bytes() const { return bytes_; }
  std::uint64_t low() const { return low_; }
  std::uint64_t high() const { return high_; }
  const capture::LiveBlock& at(std::uint32_t index) const { return blocks_[index]; }
  std::uint64_t start(std::uint32_t index) const { return blocks_[index].address(); }
  std::uint64_t end(std::uint32_t index) const { return start(index) + size(index); }
  // The first block that ends behind an address; count() when there is none.
  std::uint32_t first_behind(std::uint64_t address) const;

  // The block that an address lies in, or right behind (what "one past the end" is): kNone for all others.
  std::uint32_t find(std::uint64_t address) const {
    if (address - low_ > high_ - low_) return kNone;
    const std::uint32_t* pages = pages_[address >> kGroupBits];
    if (!pages) return kNone;
    const std::uint32_t first = pages[address >> kPageBits & (kGroupPages - 1)];
    return first ? find_from(first - 1, address) : kNone;
  }

 private:
  // An address has 47 bits; groups of 1 GiB have tables of their own, as far as blocks lie in them.
  static constexpr unsigned kPageBits = 12, kGroupBits = 30, kGroups = 1 << (47 - kGroupBits), kGroupPages = 1 << (kGroupBits - kPageBits);
  struct Sum {  // of all blocks, in any order
    std::uint64_t count, bytes, hash;
    void add(const capture::LiveBlock& block) {
      ++count;
      bytes += block.bytes();
      hash += (block.word ^ block.payload * 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u;
    }
    bool operator==(const Sum&) const = default;
  };
  std::uint64_t size(std::uint32_t index) const { return blocks_[index].bytes() ? blocks_[index].bytes() : 1; }
  std::uint32_t find_from(std::uint32_t index, std::uint64_t address) const;
  bool index_pages();

  capture::LiveBlock* blocks_ = nullptr;
  std::uint32_t** pages_ = nullptr;  // 1 + index of the first block that reaches into a page
  std::uint64_t mapped_ = 0, bytes_ = 0, low_ = 0, high_ = 0;
  std::uint32_t count_ = 0;
  Sum sum_{};
};

}  // namespace tailback::engine
