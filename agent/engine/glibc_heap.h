// SPDX-License-Identifier: Apache-2.0
// The chunks of glibc's malloc as they lie in memory (malloc/malloc.c, "Chunks of memory are maintained using a boundary tag method"):
// which of them the program holds, and which are free and hold what was left there. Only reads; a stretch of memory in which the chain
// of chunks does not lead from one end to the other is not to be taken for a heap.
#pragma once
#include <cstdint>

#include "agent/engine/memory_map.h"
#include "agent/engine/memory_reader.h"

namespace tailback::engine {

struct HeapStretch {  // memory that chunks fill without a gap; what lies before `first` is the arena's own
  std::uint64_t start, end, first;
};

struct HeapChunk {
  static constexpr std::uint64_t kHeader = 16;  // from the chunk to the block in it
  std::uint64_t block;                          // its address
  std::uint64_t block_end;                      // of what can be used, which reaches into the next chunk's header
  bool free;
};

class GlibcHeap {
 public:
  // `cached_mark`: what malloc writes into the second word of blocks that wait in a thread's cache (tcache_key); 0: none known.
  GlibcHeap(MemoryReader& reader, std::uint64_t cached_mark) : reader_(reader), cached_mark_(cached_mark) {}

  // What looks like the next heap in a region at or behind `from`: false when there is nothing.
  bool next(const MemoryRegion& region, std::uint64_t from, HeapStretch& found);

  // Calls visit(const HeapChunk&) for each chunk in ascending order. False: the chain is broken.
  template <class Visit>
  bool for_each_chunk(const HeapStretch& heap, Visit&& visit) {
    std::uint64_t at = heap.first, size, next_size;
    if (!chunk_size(at, heap.end, size)) return false;
    while (at + size < heap.end) {
      const std::uint64_t next = at + size;
      if (is_end(next, heap.end)) return true;
      if (!chunk_size(next, heap.end, next_size)) return false;
      visit(HeapChunk{at + HeapChunk::kHeader, next + 8, !(flags_ & kPreviousInUse) || is_cached(at, size)});
      at = next;
      size = next_size;
    }
    return at + size == heap.end;  // the last is what is left at the top
  }

 private:
  static constexpr std::uint64_t kPreviousInUse = 1, kFlags = 7, kLeastChunk = 32;
  bool chunk_size(std::uint64_t at, std::uint64_t end, std::uint64_t& size);
  bool is_end(std::uint64_t at, std::uint64_t end);
  bool is_cached(std::uint64_t at, std::uint64_t size);
  bool leads_some_way(const HeapStretch& heap);
  bool heap_of_arena(std::uint64_t at, std::uint64_t end, HeapStretch& found);

  MemoryReader& reader_;
  std::uint64_t cached_mark_;
  std::uint64_t flags_ = 0;  // of the chunk last looked at
};

}  // namespace tailback::engine
