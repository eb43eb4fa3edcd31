// SPDX-License-Identifier: Apache-2.0
// The events of a heaptrack file, summed up as they come: some nanoseconds each, a fixed amount of memory for each allocation site.
// What each site held at the peak of the whole comes out of one pass: a site notes what it holds before it changes for the first time
// after a new peak.
#pragma once
#include <cstdint>
#include <vector>

#include "analyzers/model/allocation_tables.h"

namespace tailback::analyzers::foreign {

class HeaptrackHeap {
 public:
  // A size allocated by a stack; numbered from 0 in the order of the calls.
  void add_kind(std::uint64_t size, StackId stack);

  // Takes the lines of events ("+ KIND", "- KIND") from `at` on, up to the first line that is none; returns where that begins. The text
  // ends with a newline at `end`.
  const char* take_events(const char* at, const char* end);

  // Time passed; keeps a point of each site's course, the more seldom the longer the run.
  void tick(std::uint64_t t_ns) {
    if (t_ns >= next_point_) add_points(t_ns);
  }

  // The tables; the heap is of no use afterwards.
  void finish(std::uint64_t end_ns, AllocationTables& out);
  std::uint64_t unknown_events() const { return sums_.unknown; }

 private:
  static constexpr std::uint64_t kNoKind = ~std::uint64_t{0};
  struct Site {
    std::uint64_t bytes = 0, blocks = 0, freed_bytes = 0, freed_blocks = 0, temporary = 0;
    std::uint64_t at_peak = 0, peak = 0;  // live bytes at the peak of that number
    StackId stack = 0;
    std::uint64_t live() const { return bytes - freed_bytes; }
    void before_change(std::uint64_t peaks) {
      if (peak == peaks) return;
      at_peak = live();
      peak = peaks;
    }
  };
  struct Kind {
    std::uint64_t size = 0;
    std::uint32_t site = 0;
  };
  // What changes with each event, apart from the sites: kept in registers while events are taken.
  struct Sums {
    std::uint64_t live = 0, peak = 0, peaks = 0, last = kNoKind, unknown = 0;
  };
  static void allocate(const Kind& kind, std::uint64_t number, Site& site, Sums& sums);
  static void free(const Kind& kind, std::uint64_t number, Site& site, Sums& sums);
  void add_points(std::uint64_t t_ns);

  std::vector<Kind> kinds_;
  std::vector<Site> sites_;
  std::vector<std::vector<LivePoint>> courses_;  // of the sites
  std::vector<std::uint32_t> site_of_stack_;     // number + 1
  std::vector<HeapPoint> heap_;
  Sums sums_;
  std::uint64_t next_point_ = 0, last_point_ = 0;
  std::size_t points_ = 0;
};

}  // namespace tailback::analyzers::foreign
