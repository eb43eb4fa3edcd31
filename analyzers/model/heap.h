// SPDX-License-Identifier: Apache-2.0
// The program's heap by allocation site: what was allocated, what lived, what it cost. Exact where the recording is (--alloc exact),
// else estimates with their deviation. No judgement.
//
// Cost: time inside the allocating and freeing calls of the samples, each weighted by the blocks it stands for; locks, system calls and
// the page faults of the allocator's own pages included, the faults of the program's first touches not.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "analyzers/model/recording.h"

namespace tailback::analyzers {

struct HeapSite {
  StackId stack = 0;                     // innermost frames are the allocator's own functions (operator new, strdup)
  double blocks = 0, bytes = 0, freed_blocks = 0, freed_bytes = 0;
  double peak_bytes = 0;                 // live when the process's live bytes were highest
  double temporary = 0, reallocations = 0;
  double bytes_deviation = 0;            // standard deviation of `bytes`; 0: exact
  std::uint64_t samples = 0;             // behind the estimates and the costs
  double allocate_seconds = 0, free_seconds = 0;
  const AllocationSampleRow* sample = nullptr;   // sizes, lifetimes, threads; nullptr: none was drawn
  const std::vector<LivePoint>* live = nullptr;  // over time; never nullptr

  double live_bytes() const { return bytes > freed_bytes ? bytes - freed_bytes : 0; }
  double live_blocks() const { return blocks > freed_blocks ? blocks - freed_blocks : 0; }
  double cost_seconds() const { return allocate_seconds + free_seconds; }
};

class Heap {
 public:
  static Heap build(const Recording& recording);

  std::string missing;           // not empty: why nothing is known
  bool exact = false;
  HeapFacts facts;               // what the figures below know
  std::vector<HeapSite> sites;   // most bytes first
  double blocks = 0, bytes = 0, live_bytes = 0, live_blocks = 0;
  double peak_bytes = 0, peak_bound_bytes = 0;  // of live bytes: reached, and not exceeded
  double cost_seconds = 0;       // of all threads

  // What was live over time: at moments at which sums were written, thinned evenly. Without the last ones where the program
  // gave up its memory in ending: what it does with it while it works ends before.
  std::vector<double> times, live;  // seconds, bytes
  double released_at_end = 0;       // bytes that were live at the last of `times` and not any more when the program had ended
};

}  // namespace tailback::analyzers
