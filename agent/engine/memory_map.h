// SPDX-License-Identifier: Apache-2.0
// The process's memory as the kernel lists it (/proc/self/smaps, proc(5)): what of it can hold pointers, and what is the agent's own.
// Its own pages are known by their flags: nobody else has pages that are wiped at a fork (map_own_pages) and reserve no swap.
// Signal-safe; memory from map_own_pages; a few microseconds for each mapping and 10 ns for each resident page (the kernel's).
#pragma once
#include <cstdint>

#include "agent/engine/text.h"

namespace tailback::engine {

struct MemoryRegion {
  std::uint64_t start, end;
  std::uint64_t resident;  // bytes in memory or swapped out
  bool anonymous;          // private memory of no file: pages that are not resident hold nothing but zeros
  bool plain;              // and readable at any time: no page of it waits for a handler (userfaultfd), none is a device's
  bool heap;               // what brk(2) moves
  bool own;                // the agent's
  bool holds(std::uint64_t address) const { return address - start < end - start; }
};

class MemoryMap {
 public:
  static constexpr std::uint32_t kMostRegions = 1 << 16;

  // Lists regions whose content the program can read and may have written. False: the kernel does not say, or there are too many.
  bool read();
  void release();

  // Ascending.
  const MemoryRegion* begin() const { return regions_; }
  const MemoryRegion* end() const { return regions_ + count_; }
  // The region around an address, nullptr when it is in none.
  const MemoryRegion* find(std::uint64_t address) const;
  bool knows_own() const { return own_bytes_ != 0; }

 private:
  struct Listed {  // the mapping that is being read
    MemoryRegion region;
    std::uint64_t anonymous_kib;
    bool readable, writable;
  };
  void take_line(std::string_view line);
  void begin_region(std::string_view line);
  void end_region(std::string_view flags);

  MemoryRegion* regions_ = nullptr;
  std::uint32_t count_ = 0;
  std::uint64_t own_bytes_ = 0;
  bool overflowed_ = false;
  Listed listed_{};
};

}  // namespace tailback::engine
