// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/glibc_heap.h"

namespace tailback::engine {

namespace {

constexpr std::uint64_t kAlignment = 16;
constexpr std::uint64_t kHeapBytes = 64 << 20;     // HEAP_MAX_SIZE: heaps of arenas but the main one begin at a multiple
constexpr std::uint64_t kMostCached = 1040;        // the largest chunk that threads cache, by default
constexpr std::uint64_t kFenceBytes = 16;          // of the two headers that end a heap which is not the arena's last
constexpr std::uint64_t kArenaBytes = 0x800, kMostArenaBytes = 0xa00;  // around sizeof(struct malloc_state), which differs by version
constexpr std::uint64_t kMostHeapHeader = 0x80;    // likewise, heap_info

}  // namespace

bool GlibcHeap::chunk_size(std::uint64_t at, std::uint64_t end, std::uint64_t& size) {
  std::uint64_t word;
  if (at % kAlignment || at + kLeastChunk > end || !reader_.word(at + 8, word)) return false;
  flags_ = word & kFlags;
  size = word & ~kFlags;
  return size >= kLeastChunk && size % kAlignment == 0 && size <= end - at;
}

bool GlibcHeap::is_end(std::uint64_t at, std::uint64_t end) {
  std::uint64_t word;
  return end - at <= 2 * kFenceBytes && reader_.word(at + 8, word) && (word & ~kFlags) == kFenceBytes;
}

bool GlibcHeap::is_cached(std::uint64_t at, std::uint64_t size) {
  std::uint64_t word;
  return cached_mark_ && size <= kMostCached && reader_.word(at + HeapChunk::kHeader + 8, word) && word == cached_mark_;
}

bool GlibcHeap::leads_some_way(const HeapStretch& heap) {
  constexpr int kEnough = 16;
  std::uint64_t at = heap.first, size;
  for (int chunks = 0; chunks < kEnough && at < heap.end && !is_end(at, heap.end); ++chunks, at += size)
    if (!chunk_size(at, heap.end, size)) return false;
  return true;
}

// struct heap_info: arena, previous heap of the arena, bytes in use, bytes accessible; the arena itself lies in its first heap.
bool GlibcHeap::heap_of_arena(std::uint64_t at, std::uint64_t end, HeapStretch& found) {
  std::uint64_t arena, previous, bytes, accessible;
  if (!reader_.word(at, arena) || !reader_.word(at + 8, previous) || !reader_.word(at + 16, bytes) || !reader_.word(at + 24, accessible)) return false;
  if (bytes == 0 || bytes % capture::kPageBytes || bytes > accessible || accessible > kHeapBytes || bytes > end - at || previous % kHeapBytes) return false;
  const bool first = arena - at < kMostHeapHeader;
  if (first == (previous != 0) || arena == 0) return false;
  const std::uint64_t low = first ? arena + kArenaBytes : at + 2 * kAlignment, high = first ? arena + kMostArenaBytes : at + kMostHeapHeader;
  for (std::uint64_t chunk = (low + kAlignment - 1) & ~(kAlignment - 1); chunk < high; chunk += kAlignment) {
    found = {at, at + bytes, chunk};
    if (leads_some_way(found)) return true;
  }
  return false;
}

bool GlibcHeap::next(const MemoryRegion& region, std::uint64_t from, HeapStretch& found) {
  if (region.heap) {
    found = {region.start, region.end, region.start};
    return from <= region.start && leads_some_way(found);
  }
  if (!region.anonymous) return false;
  for (std::uint64_t at = (from + kHeapBytes - 1) & ~(kHeapBytes - 1); at < region.end; at += kHeapBytes)
    if (at >= region.start && heap_of_arena(at, region.end, found)) return true;
  return false;
}

}  // namespace tailback::engine
