// SPDX-License-Identifier: Apache-2.0
// The program's allocator as the agent asks it for its statistics. The functions take the allocator's locks and may walk its free
// memory: only in normal context, never where a signal handler may have interrupted the allocator, and as rarely as AskingBudget says.
#pragma once
#include <malloc.h>

#include <cstddef>
#include <cstdint>

#include "agent/trace/events.h"

namespace tailback::engine {

enum class AllocatorKind { unknown, glibc, jemalloc, tcmalloc, mimalloc };

// Functions of the object that defines malloc; nullptr where it has none of that name.
struct AllocatorCalls {
  AllocatorKind kind = AllocatorKind::unknown;
  std::uint64_t object_start = 0, object_end = 0;  // where that object is mapped
  void* (*malloc)(std::size_t) = nullptr;
  void (*free)(void*) = nullptr;
  struct ::mallinfo2 (*mallinfo2)() = nullptr;                                                        // glibc
  int (*mallctl)(const char* name, void* old, std::size_t* old_bytes, void* value, std::size_t bytes) = nullptr;  // jemalloc
  int (*numeric_property)(const char* name, std::size_t* value) = nullptr;                            // tcmalloc
  void (*process_info)(std::size_t* elapsed_ms, std::size_t* user_ms, std::size_t* system_ms, std::size_t* resident, std::size_t* resident_peak,
                       std::size_t* committed, std::size_t* committed_peak, std::size_t* faults) = nullptr;  // mimalloc
};

// False: it cannot be asked. Fills all but the times.
bool ask_allocator(const AllocatorCalls& calls, trace::AllocatorState& state);

// What glibc writes into the second word of a block that waits in a thread's cache (malloc.c, tcache_key): 0 when it does not. Allocates
// and frees one block.
std::uint64_t glibc_cached_mark(const AllocatorCalls& calls);

// When the allocator may be asked: at most once a second, at most 0.1 % of the time by what it took, and only where little is to be
// expected. glibc walks its free chunks; two of them never lie side by side, so that there are no more than live blocks, nor more than
// blocks were ever freed (those in threads' caches aside).
class AskingBudget {
 public:
  void begin() { next_ns_ = kEveryNs; }
  bool due(std::uint64_t now_ns) const { return now_ns >= next_ns_; }
  void took(std::uint64_t now_ns, std::uint64_t ns) { next_ns_ = now_ns + (ns * kShare > kEveryNs ? ns * kShare : kEveryNs); }
  void later(std::uint64_t now_ns) { next_ns_ = now_ns + kEveryNs; }

  static std::uint64_t expected_ns(AllocatorKind kind, std::uint64_t live_blocks, std::uint64_t freed_blocks) {
    constexpr std::uint64_t kOwnNs = 20'000, kChunkNs = 100;
    return kOwnNs + (kind == AllocatorKind::glibc ? (live_blocks < freed_blocks ? live_blocks : freed_blocks) * kChunkNs : 0);
  }
  static constexpr std::uint64_t kMostNs = 1'000'000, kMostAtEndNs = 20'000'000;  // to be expected

 private:
  static constexpr std::uint64_t kEveryNs = 1'000'000'000, kShare = 1000;
  std::uint64_t next_ns_ = kEveryNs;
};

}  // namespace tailback::engine
