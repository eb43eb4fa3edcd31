// SPDX-License-Identifier: Apache-2.0
// The tree of stacks: nodes in an array, found through an open-addressing hash of their numbers. Insert-only and lock-free.
// Never moves or frees a node; a race or an interrupted insert may only waste a number.
#include "agent/capture/stacks.h"

#include <bit>

#include "agent/capture/pages.h"

namespace tailback::capture {

bool StackTable::init(std::uint32_t max_nodes) {
  if (max_nodes == 0 || max_nodes > (1u << 30)) return false;
  const auto slots = std::bit_ceil(max_nodes + max_nodes / 4);
  nodes_ = static_cast<StackNode*>(map_own_pages((max_nodes + 1ull) * sizeof(StackNode)));
  slots_ = static_cast<std::atomic<std::uint32_t>*>(map_own_pages(std::uint64_t{slots} * sizeof *slots_));
  hashes_ = static_cast<std::uint32_t*>(map_own_pages((max_nodes + 1ull) * sizeof *hashes_));
  published_ = static_cast<std::atomic<std::uint64_t>*>(map_own_pages((max_nodes / 64 + 1ull) * sizeof *published_));
  if (!nodes_ || !slots_ || !hashes_ || !published_) return false;
  max_nodes_ = max_nodes;
  index_ = Index{nodes_, slots_, slots - 1};
  return true;
}

void StackTable::prefer_large_pages() {
  capture::prefer_large_pages(nodes_, (max_nodes_ + 1ull) * sizeof(StackNode));
  capture::prefer_large_pages(slots_, (index_.mask + 1ull) * sizeof *slots_);
  capture::prefer_large_pages(hashes_, (max_nodes_ + 1ull) * sizeof *hashes_);
}

void StackTable::reset() {
  sys::madvise(nodes_, round_to_pages((max_nodes_ + 1ull) * sizeof(StackNode)), MADV_DONTNEED);
  sys::madvise(slots_, round_to_pages((index_.mask + 1ull) * sizeof *slots_), MADV_DONTNEED);
  sys::madvise(hashes_, round_to_pages((max_nodes_ + 1ull) * sizeof *hashes_), MADV_DONTNEED);
  sys::madvise(published_, round_to_pages((max_nodes_ / 64 + 1ull) * sizeof *published_), MADV_DONTNEED);
  after_fork();
}

void StackTable::after_fork() {
  next_.store(1);
  rejected_.store(0);
}

StackId StackTable::claim(StackId parent, std::uint64_t address, NodeKind kind, std::uint32_t path) {
  auto id = next_.load(std::memory_order_relaxed);
  do {
    if (id > max_nodes_) {
      rejected_.fetch_add(1, std::memory_order_relaxed);
      return 0;
    }
  } while (!next_.compare_exchange_weak(id, id + 1, std::memory_order_relaxed));
  hashes_[id] = path;
  nodes_[id] = StackNode{address, parent, static_cast<std::uint32_t>(kind)};
  published_[id / 64].fetch_or(1ull << (id % 64), std::memory_order_release);
  return id;
}

StackId StackTable::insert(StackId parent, std::uint64_t address, NodeKind kind, std::uint32_t path, std::uint32_t slot) noexcept {
  const auto id = claim(parent, address, kind, path);
  if (id == 0) return 0;
  for (;;) {
    std::uint32_t expected = 0;
    if (slots_[slot].compare_exchange_strong(expected, id, std::memory_order_acq_rel)) return id;
    if (const auto winner = index_.probe(parent, address, kind, path, slot)) {  // the same edge came in first: our number is wasted
      published_[id / 64].fetch_and(~(1ull << (id % 64)), std::memory_order_relaxed);
      return winner;
    }
  }
}

std::uint32_t StackTable::count() const { return next_.load(std::memory_order_acquire) - 1; }

const StackNode* StackTable::node(StackId id) const {
  if (id == 0 || id > max_nodes_) return nullptr;
  const auto bits = published_[id / 64].load(std::memory_order_acquire);
  return bits >> (id % 64) & 1 ? &nodes_[id] : nullptr;
}

bool StackTable::nearly_full() const { return count() >= max_nodes_ - max_nodes_ / 8; }

std::uint64_t StackTable::resident_bytes() const {
  const std::uint64_t nodes = count();
  const auto slot_bytes = round_to_pages((index_.mask + 1ull) * sizeof *slots_);
  const auto touched = nodes * kPageBytes < slot_bytes ? nodes * kPageBytes : slot_bytes;  // hashed: a page for each, at first
  return round_to_pages(nodes * sizeof(StackNode)) + round_to_pages(nodes * sizeof *hashes_) + touched + round_to_pages(nodes / 8);
}

}  // namespace tailback::capture
