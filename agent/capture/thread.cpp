// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/thread.h"

#include "agent/capture/pages.h"

namespace tailback::capture {

thread_local constinit ThreadLocal thread_local_state{};

namespace {

std::size_t block_bytes() { return round_to_pages(sizeof(ThreadBlock)) + 2 * round_to_pages(kWalkCacheBytes); }

ThreadBlock* map_block(std::uint32_t slot) {
  auto* memory = static_cast<char*>(map_own_pages(block_bytes()));
  if (!memory) return nullptr;
  auto* block = reinterpret_cast<ThreadBlock*>(memory);
  block->slot = slot;
  block->timer = -1;
  block->handler_cache = reinterpret_cast<WalkCache*>(memory + round_to_pages(sizeof(ThreadBlock)));
  block->hook_cache = reinterpret_cast<WalkCache*>(memory + round_to_pages(sizeof(ThreadBlock)) + round_to_pages(kWalkCacheBytes));
  return block;
}

// A reused block starts like a new one; its caches and ring positions may stay, they only refer to themselves.
void reset(ThreadBlock& block) {
  block.id = 0;
  block.tid = 0;
  block.flags = 0;
  block.start_ns = block.end_ns = 0;
  block.creator = 0;
  block.creation_stack = 0;
  block.start_routine = block.start_argument = 0;
  block.stack = {};
  block.cpu_base_ns = 0;
  block.timer = -1;
  block.samples = 0;
  block.sampled_ns = 0;
  block.lost_ns = 0;
  block.ring.clear();
  block.last = {};
  block.name[0] = 0;
  block.announced = false;
  block.written_cpu_ns = 0;
  block.written_name[0] = 0;
  block.last_stack = 0;
  block.handle = 0;
  block.locks = {};
  block.calls.blocked_call = Call::none;
  block.calls.turns = {};
  if (block.calls.pending.load(std::memory_order_relaxed) != Call::none) block.calls.pending.store(Call::none, std::memory_order_relaxed);
}

}  // namespace

bool ThreadTable::init() {
  if (!blocks_) blocks_ = static_cast<std::atomic<ThreadBlock*>*>(map_own_pages(kMaxThreads * sizeof(std::atomic<ThreadBlock*>)));
  return blocks_ != nullptr;
}

void ThreadTable::after_fork() {
  slots_used_.store(0);
  free_head_.store(0);
  refused_.store(0);
  next_id_.store(1);
}

ThreadBlock* ThreadTable::acquire() {
  std::uint64_t head = free_head_.load(std::memory_order_acquire);
  while (static_cast<std::uint32_t>(head) != 0) {
    ThreadBlock* block = at(static_cast<std::uint32_t>(head) - 1);
    const std::uint64_t next = ((head >> 32) + 1) << 32 | block->next_free;
    if (!free_head_.compare_exchange_weak(head, next, std::memory_order_acq_rel)) continue;
    reset(*block);
    block->state.store(ThreadState::starting, std::memory_order_release);
    return block;
  }
  if (slots_used_.load(std::memory_order_relaxed) >= kMaxThreads) {
    refused_.fetch_add(1, std::memory_order_relaxed);
    return nullptr;
  }
  const std::uint32_t slot = slots_used_.fetch_add(1, std::memory_order_acq_rel);
  ThreadBlock* block = slot < kMaxThreads ? map_block(slot) : nullptr;
  if (!block) {
    if (slot >= kMaxThreads) slots_used_.store(kMaxThreads, std::memory_order_release);
    refused_.fetch_add(1, std::memory_order_relaxed);
    return nullptr;
  }
  block->state.store(ThreadState::starting, std::memory_order_relaxed);
  blocks_[slot].store(block, std::memory_order_release);
  return block;
}

void ThreadTable::release(ThreadBlock* block) {
  block->state.store(ThreadState::free, std::memory_order_release);
  std::uint64_t head = free_head_.load(std::memory_order_relaxed);
  std::uint64_t next;
  do {
    block->next_free = static_cast<std::uint32_t>(head);
    next = ((head >> 32) + 1) << 32 | (block->slot + 1);
  } while (!free_head_.compare_exchange_weak(head, next, std::memory_order_acq_rel));
}

}  // namespace tailback::capture
