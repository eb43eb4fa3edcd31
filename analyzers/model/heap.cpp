// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/heap.h"

#include <algorithm>
#include <unordered_map>

namespace tailback::analyzers {

namespace {

double number(std::uint64_t value) { return static_cast<double>(value); }

HeapSite site_of(const AllocationSiteRow& row) {
  HeapSite site;
  site.stack = row.stack;
  site.blocks = number(row.blocks);
  site.bytes = number(row.bytes);
  site.freed_blocks = number(row.freed_blocks);
  site.freed_bytes = number(row.freed_bytes);
  site.peak_bytes = number(row.peak_bytes);
  site.temporary = number(row.temporary);
  site.reallocations = number(row.reallocations);
  site.live = &row.live;
  return site;
}

void add_sample(HeapSite& site, const AllocationSampleRow& sample, bool exact) {
  site.sample = &sample;
  site.samples = sample.samples;
  // Exact counts are better than the samples' own: the mean cost of a sampled block counts for each.
  const double scale = exact && sample.blocks > 0 ? site.blocks / sample.blocks : 1;
  const double freed = exact && sample.freed_blocks > 0 ? site.freed_blocks / sample.freed_blocks : 1;
  site.allocate_seconds = sample.allocate_seconds * scale;
  site.free_seconds = sample.free_seconds * freed;
  if (!exact) site.bytes_deviation = sample.bytes_deviation;
}

}  // namespace

Heap Heap::build(const Recording& recording) {
  const AllocationTables& tables = recording.allocations;
  Heap heap;
  heap.exact = tables.exact;
  heap.facts = tables.facts;
  if (!tables.seen && !recording.source.format.empty()) heap.missing = "because a " + recording.source.format + " holds no allocations";
  else if (!tables.seen) heap.missing = "because allocations were not recorded (--alloc off, or an allocator that the agent does not reach)";
  std::unordered_map<StackId, const AllocationSampleRow*> samples;
  for (const AllocationSampleRow& row : tables.samples) samples.emplace(row.stack, &row);
  for (const AllocationSiteRow& row : tables.sites) {
    HeapSite site = site_of(row);
    if (const auto sample = samples.find(row.stack); sample != samples.end()) add_sample(site, *sample->second, tables.exact);
    heap.blocks += site.blocks;
    heap.bytes += site.bytes;
    heap.live_bytes += site.live_bytes();
    heap.live_blocks += site.live_blocks();
    heap.cost_seconds += site.cost_seconds();
    heap.sites.push_back(site);
  }
  std::stable_sort(heap.sites.begin(), heap.sites.end(), [](const HeapSite& a, const HeapSite& b) { return a.bytes > b.bytes; });
  heap.peak_bytes = number(tables.peak_bytes);
  heap.peak_bound_bytes = number(tables.peak_bound_bytes);
  return heap;
}

}  // namespace tailback::analyzers
