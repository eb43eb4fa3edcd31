// SPDX-License-Identifier: Apache-2.0
// What the program allocates and frees, summed up by allocation site (a stack) as it happens.
//
//   sampled   each block with a probability that grows with its size (poisson.h); the others cost a subtraction, and their frees a
//             look at a byte. Sums are estimates, their variance is kept.
//   exact     every block, in a table of live blocks; sums to the byte. A sample is drawn besides, for what costs time stamps:
//             lifetimes, sizes, time inside the allocator.
//
// Blocks and frees are recorded by the thread that makes them: the free before the block goes back to the allocator, the block after it
// came from there, so that another thread's use of the same address lies between. Never from signal handlers (a hook there passes
// through). No call of this library's own is made while a shard is held.
#pragma once
#include <atomic>
#include <cstdint>

#include "agent/capture/block_table.h"
#include "agent/capture/poisson.h"
#include "agent/capture/thread.h"
#include "agent/capture/ticks.h"

namespace tailback::capture {

using SiteId = std::uint32_t;  // 0 none

// Exact sums of one site, as far as one group of threads did it. Blocks may be freed by another group than allocated them: only sums
// over all groups say what is live.
struct alignas(64) SiteCounters {
  std::uint64_t blocks, bytes, freed_blocks, freed_bytes;
  std::int64_t bytes_at_peak;   // live when peak number `peak` was reached
  std::uint32_t peak;
  std::uint32_t temporary;      // freed before the same thread allocated again
  std::uint32_t reallocations;  // blocks that came from realloc of another
};
static_assert(sizeof(SiteCounters) == 64);

// Estimated sums of one site, from its samples; "weighted": each sample counts for what it stands for. Written by any thread.
struct SiteSamples {
  static constexpr std::uint32_t kSizes = 40, kLifetimes = 48;
  using Sum = std::atomic<std::uint64_t>;
  StackId stack;
  Sum samples, milliblocks, bytes, variance_kib2;          // weighted; of the estimate of bytes
  Sum freed_milliblocks, freed_bytes;                      // of sampled blocks that were freed
  Sum allocate_ns, free_ns;                                // time inside the allocator, weighted
  Sum temporary_milliblocks, crossed_milliblocks;          // freed before the thread's next allocation; by another thread
  Sum reallocated_milliblocks, moved_bytes;                // came from realloc; what that copied
  Sum paged_milliblocks;                                   // blocks of at least kPagesBytes: fresh pages each time, with most allocators
  std::atomic<std::int64_t> bytes_at_peak;                 // as in SiteCounters
  std::atomic<std::uint32_t> peak;
  std::atomic<std::uint32_t> sizes[kSizes];                // blocks: [i]: sizes in [2^(i-1), 2^i)
  std::atomic<std::uint32_t> lifetimes[kLifetimes];        // freed blocks: [i]: lived [2^i, 2^(i+1)) ns
};

struct LiveBlock {
  std::uint64_t word, payload;
  std::uint64_t address() const { return word & 0xffff'ffff'ffffu; }
  std::uint64_t bytes() const { return payload >> 24; }
  SiteId site() const { return payload & 0xff'ffffu; }
  bool sampled() const { return word >> 63; }
  static LiveBlock make(std::uint64_t address, std::uint64_t bytes, SiteId site, bool sampled) {
    constexpr std::uint64_t kMost = (std::uint64_t{1} << 40) - 1;
    return {address | std::uint64_t{sampled} << 63, (bytes < kMost ? bytes : kMost) << 24 | site};
  }
};

struct SampledBlock {
  std::uint64_t at;
  std::uint64_t bytes, ticks;
  std::uint64_t milliblocks;
  std::uint64_t budget;  // of its thread, right after
  std::uint32_t site, thread;
  std::uint64_t address() const { return at; }
};

enum class AllocationMode : std::uint32_t { off, sampled, exact };

// One call of an allocation function.
struct NewBlock {
  Registers caller;               // as it is when the function returns
  void* at;
  std::uint64_t bytes;
  std::uint64_t begin, end;       // ticks around the allocator's work; 0: not timed
  bool reallocated = false;       // `at` took the place of a smaller or larger block
  std::uint64_t moved_bytes = 0;  // that were copied to it
};

class Allocations {
 public:
  static constexpr std::uint32_t kMostSites = 1 << 19, kMostSampledSites = 1 << 15;
  static constexpr std::uint32_t kGroups = 17;  // of threads: 16 with one member, the last with all further ones
  static constexpr std::uint64_t kPagesBytes = 128 * 1024;  // M_MMAP_THRESHOLD's default (mallopt(3))

  // Off until then. False: no memory, and off.
  bool init(AllocationMode mode, std::uint64_t interval, std::uint32_t most_nodes);
  void after_fork();

  AllocationMode mode() const { return mode_.load(std::memory_order_relaxed); }
  bool exact() const { return mode() == AllocationMode::exact; }
  // Nothing more is recorded.
  void stop() { mode_.store(AllocationMode::off, std::memory_order_relaxed); }

  // A thread begins, and ends: its further frees are seen all the same.
  void begin_thread(ThreadBlock& thread);
  void end_thread(ThreadBlock& thread);
  // Whether a block that did not pass unseen is a sample, to be timed.
  bool is_sampled(ThreadBlock& thread, std::uint64_t bytes);
  void add(ThreadBlock& thread, const NewBlock& block);

  // A block is about to be freed, or to change its size: what is known of it, forgotten from now on. Threads without a block: nullptr.
  struct Freed {
    LiveBlock live;       // exact
    SampledBlock sample;  // at 0: was not sampled
    bool known() const { return live.word != 0 || sample.at != 0; }
  };
  Freed take(void* at);
  // It is gone, or will be.
  void freed(ThreadBlock* thread, const Freed& block);
  void add_free_time(const SampledBlock& block, std::uint64_t ns);
  // It is still there after all: realloc failed.
  void put_back(const Freed& block);

  // For the engine, under its drain lock.
  std::uint32_t sites() const { return clipped(next_site_.load(std::memory_order_acquire), kMostSites); }
  std::uint32_t sampled_sites() const { return clipped(next_samples_.load(std::memory_order_acquire), kMostSampledSites); }
  StackId stack_of(SiteId site) const { return site_stacks_ ? site_stacks_[site] : 0; }
  SiteCounters sums_of(SiteId site) const;  // over all groups
  std::int64_t bytes_at_peak(const SiteSamples& site) const;
  SiteSamples* samples_at(std::uint32_t index) const { return &samples_[index]; }
  struct Totals {  // over all sites
    std::uint64_t blocks, bytes, freed_blocks, freed_bytes, samples;
  };
  // Looks whether there is a new peak and keeps what was live then.
  void look_for_peak();
  // Of live bytes: reached for certain, and not exceeded for certain.
  std::uint64_t peak_bytes() const { return peak_bytes_.load(std::memory_order_relaxed); }
  std::uint64_t peak_bound_bytes() const;
  std::uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }
  std::uint64_t unknown_frees() const { return unknown_frees_.load(std::memory_order_relaxed); }
  std::uint64_t resident_bytes() const;
  template <class Visit>
  void for_each_live(Visit&& visit) { live_.for_each(visit); }

 private:
  struct Group {  // the sums of a group of threads
    std::atomic<SiteCounters*> counters;
    std::atomic<std::int64_t> live_bytes, most_live_bytes;  // the latter since the last look_for_peak()
    std::atomic<std::uint32_t> taken;
  };
  static std::uint32_t clipped(std::uint32_t next, std::uint32_t most) { return next < most ? next : most; }
  SiteId site_of(StackId stack);
  SiteSamples* samples_of(StackId stack);
  Group& group_of(ThreadBlock* thread);
  SiteCounters* counters_of(Group& group, SiteId site);
  void add_exact(ThreadBlock& thread, const NewBlock& block, StackId stack, bool sampled);
  void add_sample(ThreadBlock& thread, const NewBlock& block, StackId stack);
  void count_free(ThreadBlock* thread, const LiveBlock& block);
  void count_sampled_free(ThreadBlock* thread, const SampledBlock& block);
  void draw(ThreadBlock& thread);
  void note_live(Group& group, std::int64_t change);

  std::atomic<AllocationMode> mode_{AllocationMode::off};
  std::uint64_t interval_ = 0;
  BlockTable<LiveBlock> live_;
  BlockTable<SampledBlock> sampled_;
  std::atomic<std::uint32_t>* site_of_node_ = nullptr;     // exact: by stack
  std::atomic<std::uint32_t>* samples_of_node_ = nullptr;  // index into samples_, by stack
  StackId* site_stacks_ = nullptr;
  SiteSamples* samples_ = nullptr;
  Group* groups_ = nullptr;
  std::atomic<std::uint32_t> next_site_{1}, next_samples_{1};
  std::atomic<std::uint32_t> groups_taken_{0};
  std::atomic<std::uint32_t> peak_{0};  // number of the last peak
  std::atomic<std::uint64_t> peak_bytes_{0}, peak_bound_{0};
  std::atomic<std::uint64_t> lost_{0}, unknown_frees_{0};
};

// What hooks look at first. A byte for each of 2^15 groups of addresses, zero where no sampled block lies; one byte that is not zero in
// exact mode; one that is while nothing is recorded.
struct FreeFilter {
  static constexpr std::uint64_t kBytes = 1 << 15;
  std::atomic<std::uint8_t>* bytes;
  std::uint64_t mask;
  std::atomic<std::uint8_t>& slot(std::uint64_t address) const { return bytes[(address >> 4 ^ address >> 19) & mask]; }
};
extern __attribute__((visibility("hidden"))) FreeFilter free_filter;

inline bool may_be_known(const void* block) { return free_filter.slot(reinterpret_cast<std::uint64_t>(block)).load(std::memory_order_relaxed) != 0; }

// Whether an allocation of this size needs no further look; counts it.
inline bool passes_unseen(std::uint64_t bytes) {
  std::uint64_t& budget = thread_local_state.allocation_budget;
  if (budget <= bytes) return false;
  budget -= bytes + 1;
  return true;
}

}  // namespace tailback::capture
