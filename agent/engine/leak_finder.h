// SPDX-License-Identifier: Apache-2.0
// Which live blocks nothing refers to any more, found as LeakSanitizer finds them (Rodriguez, "LeakSanitizer design"): every word in
// memory that the program can read and may have written counts as a reference if it is an address in a block, and so do the words of
// blocks that are referred to. Conservative: what is not known to be the agent's, free memory of the allocator or a dead part of a stack
// is a root, so that blocks may be missed but none is called lost that is not. High bits of words are ignored (tagged pointers).
//
// Not from signal handlers. Takes the locks of the live table, one at a time; reads memory so that a page that goes away is not there
// (memory_reader.h); its own memory is from map_own_pages. Bounded in blocks, bytes and time.
#pragma once
#include <cstdint>

#include "agent/engine/block_index.h"
#include "agent/engine/glibc_heap.h"
#include "agent/engine/memory_map.h"
#include "agent/engine/memory_reader.h"

namespace tailback::engine {

struct AddressSpan {
  std::uint64_t start, end;
};

struct LeakSearch {
  std::uint64_t deadline_ns;  // CLOCK_MONOTONIC
  std::uint64_t most_blocks, most_bytes;
  bool alone;                 // no other thread exists
  bool glibc;                 // the blocks are glibc's
  std::uint64_t cached_mark;  // as in GlibcHeap
  AddressSpan allocator;      // the object that defines malloc: its data refer to free memory
  AddressSpan library, dump;  // the agent's own
  AddressSpan unused_stack;   // of the calling thread, below the caller
};

// What one allocation site lost: blocks that nothing refers to, and blocks that only such blocks refer to. Of blocks that refer to each
// other in a ring, one is of the first kind.
struct LostOfSite {
  std::uint64_t direct_blocks, direct_bytes, indirect_blocks, indirect_bytes;
};

class LeakFinder {
 public:
  // nullptr: the search was completed; else why not, and nothing is lost.
  const char* run(capture::Allocations& allocations, const LeakSearch& search);
  void release();

  struct Totals {
    std::uint64_t blocks, bytes, root_bytes, lost_blocks, lost_bytes;
  };
  const Totals& totals() const { return totals_; }
  // visit(SiteId, const LostOfSite&)
  template <class Visit>
  void for_each_site(Visit&& visit) const {
    for (capture::SiteId site = 0; lost_ && site < sites_; ++site)
      if (lost_[site].direct_blocks || lost_[site].indirect_blocks) visit(site, lost_[site]);
  }

 private:
  enum State : std::uint8_t { kReached = 1, kStale = 2, kPointedAt = 4, kFlooded = 8, kDirect = 16 };
  enum class Source { program, allocator };
  static constexpr unsigned kMostHeaps = 512;

  const char* build(capture::Allocations& allocations);
  void find_heaps();
  bool mark_stale(GlibcHeap& heap, const HeapStretch& stretch);
  bool covered(std::uint64_t& at) const;
  void mark();
  void roots();
  void roots_of(const MemoryRegion& region);
  void roots_between(const MemoryRegion& region, std::uint64_t from, std::uint64_t to);
  void roots_of_heap(const HeapStretch& stretch);
  void read_roots(std::uint64_t from, std::uint64_t to, bool sparse);
  bool is_resident(std::uint64_t at);
  void between_blocks(const unsigned char* bytes, std::uint64_t from, std::uint64_t to);
  void reach_from(const unsigned char* bytes, std::uint64_t count);
  bool refers_to_free_memory(std::uint32_t block, std::uint64_t word) const;
  void follow();
  template <class Visit>
  void for_each_reference(const unsigned char* bytes, std::uint64_t count, Visit&& visit);
  template <class Visit>
  void content(std::uint64_t from, std::uint64_t to, Visit&& visit);
  void classify();
  void flood(std::uint32_t block);
  const char* sum_up(const capture::Allocations& allocations);
  bool lost(std::uint32_t block) const { return !(state_[block] & (kReached | kStale)); }
  bool late();

  LeakSearch search_{};
  AddressSpan dead_[3] = {};          // no roots
  BlockIndex index_;
  MemoryMap map_;
  MemoryReader reader_;
  HeapStretch* heaps_ = nullptr;      // ascending
  std::uint32_t heap_count_ = 0;
  std::uint8_t* state_ = nullptr;     // of each block
  std::uint32_t* queue_ = nullptr;    // blocks whose content is still to be looked at
  std::uint32_t queued_ = 0;
  Source source_ = Source::program;   // of what is being read
  const MemoryRegion* last_region_ = nullptr;
  static constexpr std::uint64_t kPagesAtOnce = 512;
  std::uint64_t residence_at_ = 0, residence_[kPagesAtOnce] = {};  // of pages from there on, as /proc/self/pagemap says
  std::uint32_t until_clock_ = 0;
  bool late_ = false;
  LostOfSite* lost_ = nullptr;
  std::uint32_t sites_ = 0;
  Totals totals_{};
};

}  // namespace tailback::engine
