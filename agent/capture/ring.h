// SPDX-License-Identifier: Apache-2.0
// Samples and calls on their way from one thread to the engine's drain: one writer, one reader, fixed size, no lock.
// A full ring refuses (the caller counts the loss); nothing ever waits.
#pragma once
#include <atomic>
#include <cstdint>

#include "agent/capture/stacks.h"

namespace tailback::capture {

enum SampleFlag : std::uint16_t { kSampleAtSyscall = 2, kSamplePartialStack = 4, kSampleAfterWait = 8 };  // as in cpu_sample.flags

struct Sample {
  std::uint64_t t;  // ns since the start of the session
  StackId stack;
  std::uint32_t weight_ns;  // at most 4.29 s; more is split off as lost
  std::uint16_t cpu;
  std::uint16_t flags;
  std::uint32_t reserved;
  std::uint64_t lock;  // the one taken last of those that the thread holds; 0 none
};
static_assert(sizeof(Sample) == 32);

template <class Item, std::uint32_t capacity>
class Ring {
 public:
  static constexpr std::uint32_t kCapacity = capacity;

  bool push(const Item& item) {
    const std::uint32_t head = head_.load(std::memory_order_relaxed);
    if (head - tail_.load(std::memory_order_acquire) == kCapacity) return false;
    items_[head % kCapacity] = item;
    head_.store(head + 1, std::memory_order_release);
    return true;
  }

  bool pop(Item& item) {
    const std::uint32_t tail = tail_.load(std::memory_order_relaxed);
    if (tail == head_.load(std::memory_order_acquire)) return false;
    item = items_[tail % kCapacity];
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }

  void clear() { tail_.store(head_.load(std::memory_order_acquire), std::memory_order_release); }

 private:
  std::atomic<std::uint32_t> head_, tail_;
  Item items_[kCapacity];
};

using SampleRing = Ring<Sample, 256>;  // one second at the kernel's 250 Hz

}  // namespace tailback::capture
