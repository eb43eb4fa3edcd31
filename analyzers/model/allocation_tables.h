// SPDX-License-Identifier: Apache-2.0
// What a recording knows of the program's heap: sums of each allocation site, how they grew, what samples say. Part of Recording;
// filled by RecordingReader. Sums are cumulative since the start of the recording; a window of time leaves out what came after it.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "analyzers/model/log_histogram.h"

namespace tailback::analyzers {

using StackId = std::uint32_t;

struct LivePoint { std::uint64_t t = 0, bytes = 0, blocks = 0; };  // live at a moment

struct AllocationSiteRow {
  StackId stack = 0;
  std::uint64_t blocks = 0, bytes = 0, freed_blocks = 0, freed_bytes = 0, peak_bytes = 0, temporary = 0, reallocations = 0;
  std::vector<LivePoint> live;  // ascending in t, thinned evenly when there are many; between two points the site changed little

  std::uint64_t live_bytes() const { return bytes > freed_bytes ? bytes - freed_bytes : 0; }
  std::uint64_t live_blocks() const { return blocks > freed_blocks ? blocks - freed_blocks : 0; }
};

struct AllocationSampleRow {  // estimates from the samples of one stack
  StackId stack = 0;
  std::uint64_t samples = 0;
  double blocks = 0, bytes = 0, bytes_deviation = 0;  // the last: standard deviation of the estimate
  double allocate_seconds = 0, free_seconds = 0;      // time inside the allocator
  double freed_blocks = 0, temporary_blocks = 0, crossed_blocks = 0, reallocated_blocks = 0, paged_blocks = 0;
  double moved_bytes = 0;
  LogHistogram sizes, lifetimes;                      // lifetimes in ns, of freed blocks
};

struct HeapPoint {
  std::uint64_t t = 0, blocks = 0, bytes = 0, freed_blocks = 0, freed_bytes = 0;
  std::uint64_t peak_bytes = 0;  // of live bytes, until then
  std::uint64_t live_bytes() const { return bytes > freed_bytes ? bytes - freed_bytes : 0; }
};

struct AllocatorPoint {
  std::uint64_t t = 0, in_use_bytes = 0, free_bytes = 0, mapped_bytes = 0, trimmable_bytes = 0;
  std::uint64_t resident_bytes = 0, retained_bytes = 0, ns = 0;
};

// Blocks of one stack that nothing referred to at the end of the process.
struct LeakRow {
  StackId stack = 0;
  std::uint64_t direct_blocks = 0, direct_bytes = 0;      // no other lost block refers to them
  std::uint64_t indirect_blocks = 0, indirect_bytes = 0;  // only lost blocks refer to them
  std::uint64_t blocks() const { return direct_blocks + indirect_blocks; }
  std::uint64_t bytes() const { return direct_bytes + indirect_bytes; }
};

// How the search for such blocks went. Completed: what is not among AllocationTables::leaks was still referred to, as far as memory says.
struct LeakScanOutcome {
  bool seen = false, completed = false;
  std::string reason;  // why it was not completed
  std::uint64_t blocks = 0, bytes = 0, leaked_blocks = 0, leaked_bytes = 0, root_bytes = 0, ns = 0;
  std::uint64_t other_threads = 0;  // that still ran: blocks that only their registers referred to are among the leaks
};

// What the source of the tables tells at all. Tailback's own dumps tell all of it; profiles of other tools lack some, and a rule that
// needs it cannot look.
struct HeapFacts {
  bool totals = true;         // blocks freed before the end count too
  bool frees = true;          // which blocks are live
  bool peak = true;           // what was live when most was
  bool temporaries = true;    // freed before the next allocation
  bool reallocations = true;
  bool history = true;        // how sites and the heap grew over time
  bool costs = true;          // time in the allocator, sizes, lifetimes, threads
};

struct AllocationTables {
  bool seen = false, exact = false;
  HeapFacts facts;
  std::string allocator;                     // glibc, jemalloc, ...; empty: not known
  std::vector<AllocationSiteRow> sites;      // one for each stack
  std::vector<AllocationSampleRow> samples;  // one for each stack
  std::vector<HeapPoint> heap;               // ascending in t, about one a second, more in the first seconds
  std::vector<AllocatorPoint> allocator_states;
  LeakScanOutcome leak_scan;
  std::vector<LeakRow> leaks;                // one for each stack; empty unless leak_scan.completed
  std::uint64_t peak_bytes = 0, peak_bound_bytes = 0;  // of live bytes: reached, and not exceeded
  std::uint64_t unknown_frees = 0;
};

}  // namespace tailback::analyzers
