// SPDX-License-Identifier: Apache-2.0
// Blocks of the program's heap by address: open addressing in shards, each with a lock of its own and grown by itself. Blocks that lie
// together share a shard, so that threads with arenas of their own rarely meet. A thread holds a shard for some 10 ns, or while the
// shard grows, and never enters one twice (hooks inside hooks pass through); waiters sleep on a futex, so that the scheduler lets the
// holder finish whatever the priorities are. While libc knows of one thread only, no locks are taken. Never from signal handlers. In a
// forked child all shards are empty.
//
// Entry: a plain struct whose zero value means "free", with std::uint64_t address() const.
#pragma once
#include <linux/futex.h>
#include <sys/single_threaded.h>

#include <atomic>
#include <bit>
#include <cstdint>

#include "agent/capture/pages.h"

namespace tailback::capture {

// A lock whose release is a plain store: waiters may miss the wake-up and look again after a millisecond.
class ShardLock {
 public:
  void lock() {
    std::uint32_t expected = 0;
    if (!held_.compare_exchange_strong(expected, 1, std::memory_order_acquire)) [[unlikely]] wait();
  }
  void unlock() {
    held_.store(0, std::memory_order_release);
    if (waiters_.load(std::memory_order_relaxed)) [[unlikely]] sys::call(__NR_futex, sys::arg(&held_), FUTEX_WAKE_PRIVATE, 1);
  }

 private:
  bool take() {
    std::uint32_t expected = 0;
    return held_.load(std::memory_order_relaxed) == 0 && held_.compare_exchange_strong(expected, 1, std::memory_order_acquire);
  }
  [[gnu::noinline]] void wait() {
    for (int spins = 0; spins < 100; ++spins) {
      if (take()) return;
      __builtin_ia32_pause();
    }
    constexpr struct { long seconds, nanoseconds; } kMillisecond{0, 1'000'000};
    waiters_.fetch_add(1, std::memory_order_relaxed);
    while (!take()) sys::call(__NR_futex, sys::arg(&held_), FUTEX_WAIT_PRIVATE, 1, sys::arg(&kMillisecond));
    waiters_.fetch_sub(1, std::memory_order_relaxed);
  }
  std::atomic<std::uint32_t> held_{0}, waiters_{0};
};

template <class Entry>
class BlockTable {
 public:
  static constexpr std::uint32_t kShards = 512;

  // At most about this many entries altogether; more are refused.
  bool init(std::uint64_t most_entries) {
    most_in_shard_ = most_entries / kShards * 4 + kFirstEntries;  // addresses are not spread evenly
    shards_ = static_cast<Shard*>(map_own_pages(kShards * sizeof(Shard)));
    return shards_ != nullptr;
  }
  void after_fork() { mapped_.store(0, std::memory_order_relaxed); }

  // False: no room. An entry of the same address, whose free was not seen, makes place for the new one and is handed out (else zero).
  bool insert(const Entry& entry, Entry& replaced) {
    Shard& shard = shard_of(entry.address());
    const Hold hold(shard);
    replaced = Entry{};
    const bool room = shard.used * 2 < shard.capacity || grow(shard);
    if (room) put(shard, entry, replaced);
    return room;
  }

  // Removes the entry of an address; false when there is none.
  bool take(std::uint64_t address, Entry& taken) {
    Shard& shard = shard_of(address);
    const Hold hold(shard);
    return shard.used && remove(shard, address, taken);
  }

  // Visits all entries, one shard at a time under its lock: visit(entry) must not enter the table.
  template <class Visit>
  void for_each(Visit&& visit) {
    for (std::uint32_t i = 0; i < kShards; ++i) {
      Shard& shard = shards_[i];
      const Hold hold(shard);
      for (std::uint32_t slot = 0; slot < shard.capacity; ++slot)
        if (shard.entries[slot].address()) visit(shard.entries[slot]);
    }
  }

  std::uint64_t resident_bytes() const { return mapped_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::uint32_t kFirstEntries = std::bit_floor(static_cast<std::uint32_t>(kPageBytes / sizeof(Entry)));
  struct alignas(64) Shard {
    ShardLock lock;
    std::uint32_t used, capacity;  // capacity is a power of two
    Entry* entries;
  };

  class Hold {
   public:
    explicit Hold(Shard& shard) : lock_(__libc_single_threaded ? nullptr : &shard.lock) {
      if (lock_) lock_->lock();
    }
    ~Hold() {
      if (lock_) lock_->unlock();
    }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    ShardLock* lock_;
  };

  static std::uint64_t mix(std::uint64_t key) { return key * 0x9e3779b97f4a7c15u; }
  Shard& shard_of(std::uint64_t address) { return shards_[mix(address >> 20) >> 55]; }
  static_assert(kShards == 1 << 9);
  // Neighbours in the heap are neighbours in the table, so that a loop over them finds its cache lines; each stretch as long as the
  // table begins elsewhere, so that blocks at equal distances do not pile up.
  static std::uint32_t home(std::uint64_t address, std::uint32_t capacity) {
    const std::uint64_t granule = address >> 4;
    return static_cast<std::uint32_t>(granule + (granule >> std::countr_zero(capacity)) * 0x9e3779b1u) & (capacity - 1);
  }

  static void put(Shard& shard, const Entry& entry, Entry& replaced) {
    std::uint32_t slot = home(entry.address(), shard.capacity);
    while (shard.entries[slot].address() != 0 && shard.entries[slot].address() != entry.address()) slot = (slot + 1) & (shard.capacity - 1);
    replaced = shard.entries[slot];
    shard.entries[slot] = entry;
    shard.used += replaced.address() == 0;
  }

  static bool remove(Shard& shard, std::uint64_t address, Entry& taken) {
    const std::uint32_t mask = shard.capacity - 1;
    std::uint32_t slot = home(address, shard.capacity);
    for (; shard.entries[slot].address() != address; slot = (slot + 1) & mask)
      if (shard.entries[slot].address() == 0) return false;
    taken = shard.entries[slot];
    // Entries behind the hole move up, as far as that brings them no further from home than they belong (Knuth 6.4, algorithm R).
    for (std::uint32_t next = (slot + 1) & mask; shard.entries[next].address() != 0; next = (next + 1) & mask) {
      if (((next - home(shard.entries[next].address(), shard.capacity)) & mask) < ((next - slot) & mask)) continue;
      shard.entries[slot] = shard.entries[next];
      slot = next;
    }
    shard.entries[slot] = Entry{};
    --shard.used;
    return true;
  }

  [[gnu::noinline]] bool grow(Shard& shard) {
    const std::uint32_t capacity = shard.capacity ? shard.capacity * 2 : kFirstEntries;
    if (shard.used >= most_in_shard_) return shard.used + 1 < shard.capacity / 8 * 7;
    auto* entries = static_cast<Entry*>(map_own_pages(capacity * sizeof(Entry)));
    if (!entries) return shard.used + 1 < shard.capacity / 8 * 7;
    Shard grown{{}, 0, capacity, entries};
    Entry none;
    for (std::uint32_t slot = 0; slot < shard.capacity; ++slot)
      if (shard.entries[slot].address()) put(grown, shard.entries[slot], none);
    unmap_pages(shard.entries, shard.capacity * sizeof(Entry));
    mapped_.fetch_add((capacity - shard.capacity) * sizeof(Entry), std::memory_order_relaxed);
    shard.capacity = capacity;
    shard.entries = entries;
    return true;
  }

  Shard* shards_ = nullptr;
  std::uint64_t most_in_shard_ = 0;
  std::atomic<std::uint64_t> mapped_{0};
};

}  // namespace tailback::capture
