// SPDX-License-Identifier: Apache-2.0
// How rules about memory gather allocation sites by the program's own function that asked for the blocks, and speak of them alike.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "analyzers/model/allocator_time.h"
#include "analyzers/rules/wording.h"

namespace tailback::analyzers {

struct AllocationPlace {
  FunctionId function = 0;              // innermost own code outside allocators, containers and other libraries; 0: none is known
  Frame culprit;                        // that, at the line with most of the blocks
  PatternId pattern = PatternId::none;  // library work that the most blocks were for
  std::vector<const HeapSite*> sites;   // most bytes first
  double blocks = 0, bytes = 0, freed_blocks = 0, temporary = 0, reallocations = 0, live_bytes = 0;
  double allocate_seconds = 0, free_seconds = 0;  // by the samples' clocks, less the price of the time stamps
  // Of the samples, each counted for the blocks that it stands for:
  std::uint64_t samples = 0;
  double sampled_blocks = 0, crossed_blocks = 0, paged_blocks = 0, moved_bytes = 0;
  LogHistogram sizes, lifetimes;

  void add(const HeapSite& site);
  double mean_bytes() const { return blocks > 0 ? bytes / blocks : 0; }
  double cost_seconds() const { return allocate_seconds + free_seconds; }
  // Part of the blocks freed before the thread's next allocation, or within `seconds` of their birth.
  double short_lived(double seconds) const;
};

// `work`: what the site's stack is doing inward of the own function.
using WantedSite = std::function<bool(const HeapSite& site, const AllocationWork& work)>;
// Sites that are wanted, by their function; most blocks first.
std::vector<AllocationPlace> allocation_places(const Model& model, const WantedSite& wanted);

std::string count_text(double count);   // "12 million", "35 thousand", "900"
// "most have 32 to 256 bytes (median 70)".
std::string sizes_text(const LogHistogram& sizes);
std::vector<StackEvidence> allocation_stacks(const Model& model, const AllocationPlace& place, std::size_t most);

}  // namespace tailback::analyzers
