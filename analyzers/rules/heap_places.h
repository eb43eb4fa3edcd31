// SPDX-License-Identifier: Apache-2.0
// How rules about the heap gather allocation sites by the place in the program's own code that allocates, and speak of memory alike.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "analyzers/model/heap_growth.h"
#include "analyzers/rules/wording.h"

namespace tailback::analyzers {

// Sites that allocate through one call of one own function: told apart by the call, since one function may keep what it allocates
// here and free what it allocates there.
struct HeapPlace {
  Frame culprit;                        // innermost own-code frame outside of allocators and containers
  bool in_container = false;            // a container of the standard library allocated it
  std::vector<const HeapSite*> sites;   // most of what the places are ordered by first
  double blocks = 0, bytes = 0, freed_blocks = 0, freed_bytes = 0, peak_bytes = 0;
  double variance = 0;                  // of the estimate of `bytes`; 0: exact
  std::vector<double> live;             // bytes, at the Heap's times
  LogHistogram lifetimes;               // of freed blocks that were sampled, ns

  double live_blocks() const { return blocks > freed_blocks ? blocks - freed_blocks : 0; }
  double live_now() const { return live.empty() ? 0 : live.back(); }  // as the program stopped working, before it tidied up
  double mean_size() const { return blocks > 0 ? bytes / blocks : 0; }
};

// The places that matter for what is resident: by their greatest live bytes, most first.
std::vector<HeapPlace> heap_places(const Model& model);

// What blocks take beyond the bytes asked for, with the allocator's headers and rounding (glibc: 8 bytes, multiples of 16, 32 at least).
double footprint(const Model& model, double bytes, double blocks);

// Whether the program goes on until somebody ends it: it was still running, or it is paced by what comes from outside. Without that,
// memory that grows may simply follow the input.
bool runs_on(const Model& model);

// Memory that is left to the process.
struct MemoryLimit {
  double bytes = 0, used = 0;  // 0: not known
  bool of_cgroup = false;
  double left() const { return bytes > used ? bytes - used : 0; }
  std::string name() const { return of_cgroup ? "the cgroup's memory limit" : "the machine's memory"; }
};
MemoryLimit memory_limit(const Model& model);
std::optional<double> seconds_left(const MemoryLimit& limit, double bytes_per_second);
std::string long_duration(double seconds);  // "12 s", "3 h", "9 days"

double peak_resident(const Model& model);    // bytes, 0 not known

std::vector<StackEvidence> allocation_stacks(const Model& model, const HeapPlace& place, std::size_t most);
std::string how_known(const Model& model);   // "exact" or "estimated from samples"

}  // namespace tailback::analyzers
