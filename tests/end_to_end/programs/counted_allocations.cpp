// SPDX-License-Identifier: Apache-2.0
// counted_allocations THREADS OPERATIONS [SEED]: random allocations of every kind by several threads, which also free and resize each
// other's blocks; counts them itself and prints the truth as one JSON object:
//   sites: function that allocated -> calls and bytes (asked for, of calls that gave a block), frees and freed_bytes of its blocks,
//          by_others (frees in another thread than the one that allocated), temporary (freed by the thread that allocated, before its
//          next allocation), live_blocks and live_bytes in the end
//   failed_calls, peak_bytes (most bytes live after a call; with one thread only, else 0)
// A block that realloc resized, in place or not, counts as freed and as allocated by the resizing site; realloc to nothing frees.
// What the program needs for itself is static: in these functions there is no allocation that is not counted.
#include <pthread.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>

namespace {

constexpr std::size_t kMostThreads = 64, kSlots = 1'000, kMailboxes = 8'192;
constexpr std::size_t kLargest = 300'000;  // beyond what malloc maps on its own
constexpr std::size_t kTooMuch = static_cast<std::size_t>(PTRDIFF_MAX) - 4'096;
constexpr std::align_val_t kWide{256};

// The pointer must come back into the site: a call in tail position would leave the site out of the stack.
template <class Pointer>
Pointer kept(Pointer block) {
  __asm__ volatile("" : "+r"(block) : : "memory");
  return block;
}

[[gnu::noinline]] void* site_malloc(std::size_t bytes, void*) { return kept(std::malloc(bytes)); }
[[gnu::noinline]] void* site_calloc(std::size_t bytes, void*) { return kept(std::calloc(bytes, 1)); }
[[gnu::noinline]] void* site_realloc(std::size_t bytes, void* old) { return kept(std::realloc(old, bytes)); }
[[gnu::noinline]] void* site_reallocarray(std::size_t bytes, void* old) { return kept(reallocarray(old, bytes, 1)); }
[[gnu::noinline]] void* site_aligned_alloc(std::size_t bytes, void*) { return kept(std::aligned_alloc(64, bytes)); }
[[gnu::noinline]] void* site_posix_memalign(std::size_t bytes, void*) {
  void* block = nullptr;
  return kept(posix_memalign(&block, 128, bytes)) == 0 ? block : nullptr;
}
[[gnu::noinline]] void* site_new(std::size_t bytes, void*) { return kept(::operator new(bytes, std::nothrow)); }
[[gnu::noinline]] void* site_new_array(std::size_t bytes, void*) { return kept(::operator new[](bytes, std::nothrow)); }
[[gnu::noinline]] void* site_new_aligned(std::size_t bytes, void*) { return kept(::operator new(bytes, kWide, std::nothrow)); }

void free_malloced(void* block, std::size_t) { std::free(block); }
void delete_plain(void* block, std::size_t) { ::operator delete(block); }
void delete_array(void* block, std::size_t bytes) { ::operator delete[](block, bytes); }
void delete_aligned(void* block, std::size_t bytes) { ::operator delete(block, bytes, kWide); }

// What is asked of operator new must be what that asks of malloc: it makes one byte of none, and rounds up to the alignment.
std::size_t any_size(std::size_t bytes) { return bytes; }
std::size_t not_empty(std::size_t bytes) { return std::max<std::size_t>(bytes, 1); }
std::size_t whole_wide(std::size_t bytes) { return (bytes / static_cast<std::size_t>(kWide) + 1) * static_cast<std::size_t>(kWide); }

struct Site {
  const char* name;
  void* (*allocate)(std::size_t, void* old);
  void (*free)(void*, std::size_t);
  std::size_t (*fitting)(std::size_t);
};
constexpr std::array<Site, 9> kSites{{{"site_malloc", site_malloc, free_malloced, any_size},
                                      {"site_calloc", site_calloc, free_malloced, any_size},
                                      {"site_realloc", site_realloc, free_malloced, any_size},
                                      {"site_reallocarray", site_reallocarray, free_malloced, any_size},
                                      {"site_aligned_alloc", site_aligned_alloc, free_malloced, any_size},
                                      {"site_posix_memalign", site_posix_memalign, free_malloced, any_size},
                                      {"site_new", site_new, delete_plain, not_empty},
                                      {"site_new_array", site_new_array, delete_array, not_empty},
                                      {"site_new_aligned", site_new_aligned, delete_aligned, whole_wide}}};
constexpr std::uint32_t kRealloc = 2, kReallocarray = 3;  // in kSites

struct Block {
  void* start = nullptr;  // none: an empty place
  std::size_t bytes = 0;
  std::uint32_t site = 0, thread = 0;
};

struct Counts {
  std::uint64_t calls = 0, bytes = 0, frees = 0, freed_bytes = 0, by_others = 0, temporary = 0;
};

struct alignas(64) Worker {
  std::uint32_t number = 0;
  std::uint64_t random = 0, operations = 0, failed_calls = 0, live_bytes = 0, peak_bytes = 0;
  void* newest = nullptr;  // the thread's last block, while it has allocated nothing since
  std::array<Block, kSlots> blocks;
  std::array<Counts, kSites.size()> counts;
};

struct Mailbox {
  std::mutex mutex;
  Block block;
};

std::array<Worker, kMostThreads> workers;
std::array<Mailbox, kMailboxes> mailboxes;
char output_buffer[16 * 1024];

std::uint64_t random_below(Worker& worker, std::uint64_t limit) {
  worker.random ^= worker.random << 13, worker.random ^= worker.random >> 7, worker.random ^= worker.random << 17;
  return (worker.random >> 20) % limit;
}

// Mostly small, now and then nothing or a mapping of its own.
std::size_t random_bytes(Worker& worker) {
  const std::uint64_t kind = random_below(worker, 1'000);
  if (kind == 0) return 0;
  if (kind == 1) return random_below(worker, kLargest);
  return 1 + random_below(worker, kind < 800 ? 128 : 4'096);
}

void count_freed(Worker& worker, const Block& block, bool resized) {
  const bool own = block.thread == worker.number;
  Counts& counts = worker.counts[block.site];
  ++counts.frees;
  counts.freed_bytes += block.bytes;
  counts.by_others += !own;
  counts.temporary += !resized && own && block.start == worker.newest;
  worker.live_bytes -= block.bytes;
}

void count_allocated(Worker& worker, const Block& block) {
  Counts& counts = worker.counts[block.site];
  ++counts.calls;
  counts.bytes += block.bytes;
  worker.newest = block.start;
  worker.live_bytes += block.bytes;
  worker.peak_bytes = std::max(worker.peak_bytes, worker.live_bytes);
}

void release(Worker& worker, Block& block) {
  if (!block.start) return;
  count_freed(worker, block, false);
  kSites[block.site].free(block.start, block.bytes);
  block = {};
}

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "counted_allocations: does not hold: %s\n", what);
  std::_Exit(1);
}

void allocate(Worker& worker, Block& place) {
  release(worker, place);
  const auto site = static_cast<std::uint32_t>(random_below(worker, kSites.size()));
  const std::size_t bytes = kSites[site].fitting(random_bytes(worker));
  place = {kSites[site].allocate(bytes, nullptr), bytes, site, worker.number};
  require(place.start != nullptr, "an allocation succeeds");
  count_allocated(worker, place);
  std::memset(place.start, static_cast<int>(site), std::min<std::size_t>(bytes, 64));
}

// Whoever allocated it: realloc takes the blocks of all functions whose blocks free takes.
void resize(Worker& worker, Block& place) {
  if (!place.start || kSites[place.site].free != free_malloced) return allocate(worker, place);
  const std::uint32_t site = random_below(worker, 2) == 0 ? kRealloc : kReallocarray;
  const std::size_t bytes = random_bytes(worker);
  void* start = kSites[site].allocate(bytes, place.start);
  require((start == nullptr) == (bytes == 0), "realloc gives a block, or none for no bytes");
  count_freed(worker, place, bytes != 0);
  place = start ? Block{start, bytes, site, worker.number} : Block{};
  if (start) count_allocated(worker, place);
}

// The block that was to be resized stays as it is.
void fail(Worker& worker, Block& place) {
  const std::size_t site = random_below(worker, kSites.size());
  const bool resizing = (site == kRealloc || site == kReallocarray) && place.start && kSites[place.site].free == free_malloced;
  require(kSites[site].allocate(kTooMuch, resizing ? place.start : nullptr) == nullptr, "too much is refused");
  ++worker.failed_calls;
}

void exchange(Worker& worker, Block& place) {
  Mailbox& mailbox = mailboxes[random_below(worker, kMailboxes)];
  const std::lock_guard lock(mailbox.mutex);
  std::swap(mailbox.block, place);
}

void operate(Worker& worker) {
  Block& place = worker.blocks[random_below(worker, kSlots)];
  const std::uint64_t what = random_below(worker, 1'000);
  if (what == 0) fail(worker, place);
  else if (what < 450) allocate(worker, place);
  else if (what < 600) release(worker, place);
  else if (what < 650) allocate(worker, place), release(worker, place);
  else if (what < 800) resize(worker, place);
  else exchange(worker, place);
}

void* work(void* given) {
  auto& worker = *static_cast<Worker*>(given);
  for (std::uint64_t i = 0; i < worker.operations; ++i) operate(worker);
  return nullptr;
}

void run(std::size_t threads) {
  if (threads == 1) {
    work(&workers[0]);
    return;
  }
  std::array<pthread_t, kMostThreads> started;
  for (std::size_t i = 0; i < threads; ++i) require(pthread_create(&started[i], nullptr, work, &workers[i]) == 0, "a thread starts");
  for (std::size_t i = 0; i < threads; ++i) pthread_join(started[i], nullptr);
}

Counts sum_of(std::size_t site) {
  Counts sum;
  for (const Worker& worker : workers) {
    const Counts& counts = worker.counts[site];
    sum.calls += counts.calls, sum.bytes += counts.bytes;
    sum.frees += counts.frees, sum.freed_bytes += counts.freed_bytes;
    sum.by_others += counts.by_others, sum.temporary += counts.temporary;
  }
  return sum;
}

// {blocks, bytes} of a site as they lie there.
std::pair<std::uint64_t, std::uint64_t> found_of(std::size_t site) {
  std::pair<std::uint64_t, std::uint64_t> found;
  const auto look = [&](const Block& block) {
    if (block.start && block.site == site) ++found.first, found.second += block.bytes;
  };
  for (const Worker& worker : workers)
    for (const Block& block : worker.blocks) look(block);
  for (const Mailbox& mailbox : mailboxes) look(mailbox.block);
  return found;
}

void print_site(std::size_t site) {
  const Counts sum = sum_of(site);
  const auto found = found_of(site);
  require(found.first == sum.calls - sum.frees && found.second == sum.bytes - sum.freed_bytes, "what was not freed is there");
  std::printf("%s\n  \"%s\": {\"calls\": %lu, \"bytes\": %lu, \"frees\": %lu, \"freed_bytes\": %lu, \"by_others\": %lu, \"temporary\": %lu, \"live_blocks\": %lu, \"live_bytes\": %lu}",
              site == 0 ? "" : ",", kSites[site].name, sum.calls, sum.bytes, sum.frees, sum.freed_bytes, sum.by_others, sum.temporary, found.first, found.second);
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t threads = argc > 2 ? static_cast<std::size_t>(std::atoi(argv[1])) : 0;
  if (threads < 1 || threads > kMostThreads) return 2;
  std::setvbuf(stdout, output_buffer, _IOFBF, sizeof output_buffer);
  std::uint64_t random = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1;
  for (std::size_t i = 0; i < threads; ++i) {
    workers[i].number = static_cast<std::uint32_t>(i);
    workers[i].operations = std::strtoull(argv[2], nullptr, 10);
    workers[i].random = (random += 0x9e3779b97f4a7c15u) | 1;
  }
  run(threads);
  std::uint64_t failed = 0;
  for (const Worker& worker : workers) failed += worker.failed_calls;
  std::printf("{\"threads\": %zu, \"failed_calls\": %lu, \"peak_bytes\": %lu, \"sites\": {", threads, failed, threads == 1 ? workers[0].peak_bytes : 0);
  for (std::size_t site = 0; site < kSites.size(); ++site) print_site(site);
  std::printf("}}\n");
  return 0;
}
