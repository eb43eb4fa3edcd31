// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/leak_finder.h"

#include <fcntl.h>

#include "agent/capture/clock.h"
#include "agent/capture/stack_region.h"

namespace tailback::engine {

namespace sys = capture::sys;

namespace {

constexpr std::uint64_t kWord = 8;
constexpr std::uint64_t kPiece = MemoryReader::kPieceBytes, kOwnPiece = 512;
constexpr std::uint64_t kNobodyRanNs = 2'000;  // of CPU time: less than it takes to wake a thread, more than two clocks differ by
constexpr std::uint64_t kAddressBits = 0x7fff'ffff'ffff;

std::uint64_t up_to_word(std::uint64_t at) { return (at + kWord - 1) & ~(kWord - 1); }

const char* reason_of(BlockIndex::Built built) {
  switch (built) {
    case BlockIndex::Built::yes: return nullptr;
    case BlockIndex::Built::too_many_blocks: return "too many blocks are alive";
    case BlockIndex::Built::too_many_bytes: return "too many bytes are alive";
    case BlockIndex::Built::no_memory: return "no memory for the search";
    case BlockIndex::Built::changed: break;
  }
  return "other threads went on allocating";
}

std::uint64_t cpu_ns_of_others() {
  const std::uint64_t all = capture::process_cpu_ns();
  return all - capture::thread_cpu_ns();
}

}  // namespace

const char* LeakFinder::run(capture::Allocations& allocations, const LeakSearch& search) {
  search_ = search;
  if (const char* reason = build(allocations)) return reason;
  mark();
  if (late_) return "it took too long";
  if (!search_.alone && !index_.still_as_built(allocations)) return reason_of(BlockIndex::Built::changed);
  classify();
  if (late_) return "it took too long";
  return sum_up(allocations);
}

const char* LeakFinder::build(capture::Allocations& allocations) {
  if (const char* reason = reason_of(index_.build(allocations, search_.most_blocks, search_.most_bytes))) return reason;
  totals_ = {index_.count(), index_.bytes(), 0, 0, 0};
  const std::uint64_t count = index_.count() + 1;
  state_ = static_cast<std::uint8_t*>(capture::map_own_pages(count));
  queue_ = static_cast<std::uint32_t*>(capture::map_own_pages(count * sizeof *queue_));
  heaps_ = static_cast<HeapStretch*>(capture::map_own_pages(kMostHeaps * sizeof *heaps_));
  if (!state_ || !queue_ || !heaps_ || !reader_.init()) return reason_of(BlockIndex::Built::no_memory);
  if (!map_.read() || !map_.knows_own()) return "the kernel does not say what memory there is";
  dead_[0] = search_.library;
  dead_[1] = search_.dump;
  dead_[2] = search_.unused_stack;
  const MemoryRegion* stack = map_.find(dead_[2].end);
  if (stack && stack->start > dead_[2].start) dead_[2].start = stack->start;  // what is mapped below is none of it
  if (search_.alone) reader_.read_directly();
  if (search_.glibc) find_heaps();
  return nullptr;
}

void LeakFinder::release() {
  const std::uint64_t count = index_.count() + 1;
  capture::unmap_pages(state_, count);
  capture::unmap_pages(queue_, count * sizeof *queue_);
  capture::unmap_pages(heaps_, kMostHeaps * sizeof *heaps_);
  capture::unmap_pages(lost_, sites_ * sizeof *lost_);
  reader_.release();
  map_.release();
  index_.release();
  state_ = nullptr;
  queue_ = nullptr;
  heaps_ = nullptr;
  lost_ = nullptr;
  heap_count_ = queued_ = sites_ = 0;
}

bool LeakFinder::late() {
  constexpr std::uint32_t kEvery = 64;
  if (!late_ && until_clock_++ % kEvery == 0) late_ = capture::monotonic_ns() > search_.deadline_ns;
  return late_;
}

// ---- What the allocator keeps -----------------------------------------------------------------------------------------------

void LeakFinder::find_heaps() {
  GlibcHeap heap(reader_, search_.cached_mark);
  for (const MemoryRegion& region : map_) {
    if (region.own || !region.plain) continue;
    HeapStretch found;
    for (std::uint64_t from = region.start; heap_count_ < kMostHeaps && heap.next(region, from, found); from = found.end)
      if (mark_stale(heap, found)) heaps_[heap_count_++] = found;
  }
}

// A block of the live table that is no chunk, or a free one: its free was not seen. False: this is no heap.
bool LeakFinder::mark_stale(GlibcHeap& heap, const HeapStretch& stretch) {
  const std::uint32_t first = index_.first_behind(stretch.start);
  std::uint32_t block = first;
  const auto stale_before = [&](std::uint64_t address) {
    for (; block < index_.count() && index_.start(block) < address; ++block) state_[block] |= kStale;
  };
  const bool whole = heap.for_each_chunk(stretch, [&](const HeapChunk& chunk) {
    stale_before(chunk.block);
    if (block == index_.count() || index_.start(block) != chunk.block) return;
    if (chunk.free) state_[block] |= kStale;
    ++block;
  });
  stale_before(stretch.end);
  while (!whole && block > first) state_[--block] = 0;
  return whole;
}

// The allocator's lists hold addresses of free chunks, and a chunk's first word is the last of the block before it.
bool LeakFinder::refers_to_free_memory(std::uint32_t block, std::uint64_t word) const {
  constexpr std::uint64_t kLeastChunk = 32, kHeader = 8, kAlignment = 16;
  const std::uint64_t wanted = (index_.at(block).bytes() + kHeader + kAlignment - 1) & ~(kAlignment - 1);
  const std::uint64_t chunk = wanted < kLeastChunk ? kLeastChunk : wanted;
  return search_.glibc && source_ == Source::allocator && word == index_.start(block) + chunk - HeapChunk::kHeader;
}

// ---- References -------------------------------------------------------------------------------------------------------------

// visit(block, word) for each word that is an address in a block.
template <class Visit>
void LeakFinder::for_each_reference(const unsigned char* bytes, std::uint64_t count, Visit&& visit) {
  const auto at = reinterpret_cast<std::uint64_t>(bytes);
  const std::uint64_t low = index_.low(), span = index_.high() - low;
  for (std::uint64_t offset = 0; offset < count * kWord; offset += kWord) {
    const std::uint64_t word = capture::load_word(at + offset) & kAddressBits;
    if (word - low > span) continue;
    const std::uint32_t block = index_.find(word);
    if (block != BlockIndex::kNone) visit(block, word);
  }
}

// visit(bytes, count of words) for memory from one address to another, as far as it can be read.
template <class Visit>
void LeakFinder::content(std::uint64_t from, std::uint64_t to, Visit&& visit) {
  from = up_to_word(from);
  if (to < from + kWord) return;
  if (search_.alone) {  // nobody takes the pages away meanwhile
    if (!last_region_ || !last_region_->holds(from)) last_region_ = map_.find(from);
    if (last_region_ && last_region_->plain && to <= last_region_->end) return visit(reinterpret_cast<const unsigned char*>(from), (to - from) / kWord);
  }
  while (from + kWord <= to && !late()) {
    if (to - from >= kOwnPiece) {  // more than is worth a whole page with neighbours
      const unsigned char* bytes;
      const std::uint64_t wanted = to - from < kPiece ? to - from : kPiece, got = reader_.piece(from, wanted, bytes);
      if (got) visit(bytes, got / kWord);
      from = got == wanted ? from + wanted : (from + got) / capture::kPageBytes * capture::kPageBytes + capture::kPageBytes;
      continue;
    }
    const std::uint64_t page_end = (from / capture::kPageBytes + 1) * capture::kPageBytes, end = page_end < to ? page_end : to;
    if (const unsigned char* page = reader_.page(from)) visit(page + from % capture::kPageBytes, (end - from) / kWord);
    from = page_end;
  }
}

void LeakFinder::reach_from(const unsigned char* bytes, std::uint64_t count) {
  for_each_reference(bytes, count, [this](std::uint32_t block, std::uint64_t word) {
    if (!lost(block) || refers_to_free_memory(block, word)) return;
    state_[block] |= kReached;
    queue_[queued_++] = block;
  });
}

void LeakFinder::follow() {
  source_ = Source::program;
  while (queued_ && !late()) {
    const std::uint32_t block = queue_[--queued_];
    content(index_.start(block), index_.end(block), [this](const unsigned char* bytes, std::uint64_t count) { reach_from(bytes, count); });
  }
}

// While other threads run, a reference may move from where it was not yet looked for to where it was: a second look at everything finds
// it, as long as no block came or went (which run() checks).
void LeakFinder::mark() {
  const std::uint64_t before = cpu_ns_of_others();
  roots();
  follow();
  if (search_.alone || late_ || cpu_ns_of_others() - before < kNobodyRanNs) return;
  reader_.forget();
  roots();
  follow();
  for (std::uint32_t block = 0; block < index_.count(); ++block)
    if (state_[block] & kReached) queue_[queued_++] = block;
  follow();
}

// ---- Roots ------------------------------------------------------------------------------------------------------------------

void LeakFinder::roots() {
  for (const MemoryRegion& region : map_)
    if (!region.own) roots_of(region);
}

// All of a region but its dead parts.
void LeakFinder::roots_of(const MemoryRegion& region) {
  std::uint64_t from = region.start;
  while (from < region.end) {
    std::uint64_t to = region.end, beyond = region.end;
    for (const AddressSpan& dead : dead_) {
      if (dead.end <= from || dead.start >= to) continue;
      to = dead.start > from ? dead.start : from;
      beyond = dead.end;
    }
    if (from < to) roots_between(region, from, to);
    from = beyond;
  }
}

void LeakFinder::roots_between(const MemoryRegion& region, std::uint64_t from, std::uint64_t to) {
  const bool sparse = region.anonymous && region.resident < (region.end - region.start) / 2;
  const bool of_allocator = region.start < search_.allocator.end && search_.allocator.start < region.end;
  for (std::uint32_t heap = 0; heap < heap_count_; ++heap) {
    if (heaps_[heap].start < from || heaps_[heap].end > to) continue;
    source_ = Source::program;
    read_roots(from, heaps_[heap].start, sparse);
    roots_of_heap(heaps_[heap]);
    from = heaps_[heap].end;
  }
  source_ = of_allocator ? Source::allocator : Source::program;
  read_roots(from, to, sparse);
}

// Blocks that are in use but not in the live table: from before the recording, of the loader, of a plugin that found malloc by another
// way. Free ones are no roots.
void LeakFinder::roots_of_heap(const HeapStretch& stretch) {
  GlibcHeap heap(reader_, search_.cached_mark);
  std::uint32_t block = index_.first_behind(stretch.start);
  source_ = Source::allocator;
  read_roots(stretch.start, stretch.first, false);
  source_ = Source::program;
  const bool whole = heap.for_each_chunk(stretch, [&](const HeapChunk& chunk) {
    while (block < index_.count() && index_.start(block) < chunk.block) ++block;
    const bool known = block < index_.count() && index_.start(block) == chunk.block;
    if (known || chunk.free || late()) return;
    totals_.root_bytes += chunk.block_end - chunk.block;
    content(chunk.block, chunk.block_end, [this](const unsigned char* bytes, std::uint64_t count) { reach_from(bytes, count); });
  });
  if (whole) return;
  source_ = Source::allocator;  // another thread is changing it
  read_roots(stretch.start, stretch.end, false);
}

// Whether there is a page at all: where only few are, the others are not to be made by reading them.
bool LeakFinder::is_resident(std::uint64_t at) {
  constexpr std::uint64_t kPresentOrSwapped = std::uint64_t{3} << 62;
  const std::uint64_t page = at / capture::kPageBytes;
  if (page - residence_at_ >= kPagesAtOnce || residence_at_ == 0) {
    residence_at_ = page;
    for (auto& entry : residence_) entry = kPresentOrSwapped;  // where the kernel does not say
    const long fd = sys::openat(AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (!sys::failed(fd)) {
      sys::call(__NR_pread64, fd, sys::arg(residence_), sizeof residence_, static_cast<long>(page * sizeof residence_[0]));
      sys::close(static_cast<int>(fd));
    }
  }
  return residence_[page - residence_at_] & kPresentOrSwapped;
}

// Whether a block begins at or before an address and reaches beyond it: its end then, where there may be more to read.
bool LeakFinder::covered(std::uint64_t& at) const {
  const std::uint32_t block = index_.first_behind(at);
  if (block == index_.count() || index_.start(block) > at || state_[block] & kStale) return false;
  at = up_to_word(index_.end(block));
  return true;
}

void LeakFinder::read_roots(std::uint64_t from, std::uint64_t to, bool sparse) {
  residence_at_ = 0;
  while (from < to && !late()) {
    const std::uint64_t page_end = (from / capture::kPageBytes + 1) * capture::kPageBytes;
    if (covered(from)) continue;
    if (sparse && !is_resident(from)) {
      from = page_end;
      continue;
    }
    const std::uint64_t end = sparse && page_end < to ? page_end : to;
    const unsigned char* bytes;
    const std::uint64_t got = reader_.piece(from, end - from, bytes);
    between_blocks(bytes, from, from + got);
    totals_.root_bytes += got;
    from = got ? from + got : page_end;
  }
}

// The words of some memory that belong to no block of the live table.
void LeakFinder::between_blocks(const unsigned char* bytes, std::uint64_t from, std::uint64_t to) {
  std::uint32_t block = index_.first_behind(from);
  std::uint64_t at = up_to_word(from);
  while (at + kWord <= to) {
    while (block < index_.count() && state_[block] & kStale) ++block;
    const bool more = block < index_.count() && index_.start(block) < to;
    const std::uint64_t end = more ? index_.start(block) : to;
    if (end > at) reach_from(bytes + (at - from), (end - at) / kWord);
    if (!more) return;
    const std::uint64_t behind = up_to_word(index_.end(block++));
    if (behind > at) at = behind;
  }
}

// ---- What is lost -----------------------------------------------------------------------------------------------------------

// Directly lost is what no other lost block refers to; of a ring, the first block.
void LeakFinder::classify() {
  for (std::uint32_t block = 0; block < index_.count() && !late(); ++block) {
    if (!lost(block)) continue;
    if (!map_.find(index_.start(block))) {
      state_[block] |= kStale;
      continue;
    }
    content(index_.start(block), index_.end(block), [&](const unsigned char* bytes, std::uint64_t count) {
      for_each_reference(bytes, count, [&](std::uint32_t other, std::uint64_t) {
        if (other != block) state_[other] |= kPointedAt;
      });
    });
  }
  for (std::uint32_t block = 0; block < index_.count(); ++block)
    if (lost(block) && !(state_[block] & kPointedAt)) flood(block);
  for (std::uint32_t block = 0; block < index_.count(); ++block)
    if (lost(block) && !(state_[block] & kFlooded)) flood(block);
}

void LeakFinder::flood(std::uint32_t first) {
  state_[first] |= kFlooded | kDirect;
  queue_[queued_++] = first;
  while (queued_ && !late()) {
    const std::uint32_t block = queue_[--queued_];
    content(index_.start(block), index_.end(block), [&](const unsigned char* bytes, std::uint64_t count) {
      for_each_reference(bytes, count, [&](std::uint32_t other, std::uint64_t) {
        if (other == first || !lost(other)) return;
        state_[other] &= static_cast<std::uint8_t>(~kDirect);  // was taken for the first of a ring, but hangs on this one
        if (state_[other] & kFlooded) return;
        state_[other] |= kFlooded;
        queue_[queued_++] = other;
      });
    });
  }
}

const char* LeakFinder::sum_up(const capture::Allocations& allocations) {
  sites_ = allocations.sites();
  lost_ = static_cast<LostOfSite*>(capture::map_own_pages(sites_ * sizeof *lost_));
  if (!lost_) return reason_of(BlockIndex::Built::no_memory);
  for (std::uint32_t block = 0; block < index_.count(); ++block) {
    const capture::LiveBlock& entry = index_.at(block);
    if (!lost(block) || entry.site() >= sites_) continue;
    LostOfSite& site = lost_[entry.site()];
    const bool direct = state_[block] & kDirect;
    (direct ? site.direct_blocks : site.indirect_blocks) += 1;
    (direct ? site.direct_bytes : site.indirect_bytes) += entry.bytes();
    ++totals_.lost_blocks;
    totals_.lost_bytes += entry.bytes();
  }
  return nullptr;
}

}  // namespace tailback::engine
