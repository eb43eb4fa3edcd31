// SPDX-License-Identifier: Apache-2.0
// Memory of the agent: anonymous pages straight from the kernel, never through the program's allocator. Signal-safe.
// Pages are zero and cost nothing until touched; failures return nullptr and are the caller's to count.
#pragma once
#include <sys/mman.h>

#include "agent/capture/syscalls.h"

namespace tailback::capture {

inline constexpr std::size_t kPageBytes = 4096;

inline std::size_t round_to_pages(std::size_t size) { return (size + kPageBytes - 1) & ~(kPageBytes - 1); }

inline void* map_pages(std::size_t size) {
  const long at = sys::mmap(nullptr, round_to_pages(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return sys::failed(at) ? nullptr : reinterpret_cast<void*>(at);
}

// For the agent's tables: a forked child, however it was forked, finds these pages zero instead of copied (MADV_WIPEONFORK), which
// spares the fork their page tables.
inline void* map_own_pages(std::size_t size) {
  constexpr int kWipeOnFork = 18;
  void* pages = map_pages(size);
  return pages && !sys::failed(sys::madvise(pages, round_to_pages(size), kWipeOnFork)) ? pages : nullptr;
}

// Of a table that is filled at random: large pages, where the kernel has them, spare most of the faults and address translations. They
// are resident in steps of 2 MiB.
inline void prefer_large_pages(void* pages, std::size_t size) {
  constexpr int kHugePage = 14;
  sys::madvise(pages, round_to_pages(size), kHugePage);
}

inline void unmap_pages(void* at, std::size_t size) {
  if (at) sys::munmap(at, round_to_pages(size));
}

}  // namespace tailback::capture
