// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/block_index.h"

#include <algorithm>

#include "agent/capture/pages.h"

namespace tailback::engine {

using capture::LiveBlock;

BlockIndex::Built BlockIndex::build(capture::Allocations& allocations, std::uint64_t most_blocks, std::uint64_t most_bytes) {
  Sum before{};
  allocations.for_each_live([&](const LiveBlock& block) { before.add(block); });
  if (before.count > most_blocks || before.count >= kNone) return Built::too_many_blocks;
  if (before.bytes > most_bytes) return Built::too_many_bytes;
  mapped_ = (before.count + 1) * sizeof(LiveBlock);
  blocks_ = static_cast<LiveBlock*>(capture::map_own_pages(mapped_));
  pages_ = static_cast<std::uint32_t**>(capture::map_own_pages(kGroups * sizeof *pages_));
  if (!blocks_ || !pages_) return Built::no_memory;
  sum_ = {};
  allocations.for_each_live([&](const LiveBlock& block) {
    if (sum_.count < before.count) blocks_[sum_.count] = block;
    sum_.add(block);
  });
  if (sum_ != before) return Built::changed;
  count_ = static_cast<std::uint32_t>(sum_.count);
  bytes_ = sum_.bytes;
  std::sort(blocks_, blocks_ + count_, [](const LiveBlock& a, const LiveBlock& b) { return a.address() < b.address(); });
  return index_pages() ? Built::yes : Built::no_memory;
}

bool BlockIndex::index_pages() {
  if (count_ == 0) return true;
  low_ = start(0);
  for (std::uint32_t i = 0; i < count_; ++i) {
    if (end(i) > high_) high_ = end(i);
    for (std::uint64_t page = start(i) >> kPageBits; page <= end(i) >> kPageBits; ++page) {
      std::uint32_t*& group = pages_[(page >> (kGroupBits - kPageBits)) & (kGroups - 1)];
      if (!group) group = static_cast<std::uint32_t*>(capture::map_own_pages(kGroupPages * sizeof(std::uint32_t)));
      if (!group) return false;
      std::uint32_t& first = group[page & (kGroupPages - 1)];
      if (!first) first = i + 1;
    }
  }
  return true;
}

void BlockIndex::release() {
  if (pages_)
    for (unsigned group = 0; group < kGroups; ++group) capture::unmap_pages(pages_[group], kGroupPages * sizeof(std::uint32_t));
  capture::unmap_pages(pages_, kGroups * sizeof *pages_);
  capture::unmap_pages(blocks_, mapped_);
  *this = BlockIndex();
}

bool BlockIndex::still_as_built(capture::Allocations& allocations) const {
  Sum now{};
  allocations.for_each_live([&](const LiveBlock& block) { now.add(block); });
  return now == sum_;
}

std::uint32_t BlockIndex::find_from(std::uint32_t index, std::uint64_t address) const {
  std::uint32_t found = kNone;
  for (; index < count_ && start(index) <= address; ++index)
    if (address <= end(index)) found = index;  // where one block ends and the next begins, the next
  return found;
}

std::uint32_t BlockIndex::first_behind(std::uint64_t address) const {
  std::uint32_t low = 0, high = count_;
  while (low < high) {
    const std::uint32_t middle = low + (high - low) / 2;
    if (end(middle) <= address) low = middle + 1;
    else high = middle;
  }
  return low;
}

}  // namespace tailback::engine
