// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/heap.h"

#include <algorithm>
#include <unordered_map>

namespace tailback::analyzers {

namespace {

constexpr std::uint64_t kLeft = 1;               // session_end.reason: by exit or _exit
constexpr std::uint64_t kAtEnd = 100'000'000;    // ns before the end that belong to it
constexpr double kReleased = 0.98;
constexpr std::size_t kMostPoints = 128;

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

// How many of the points show the program at work: behind them it gave up its memory, and ended.
std::size_t points_at_work(const Recording& recording, const std::vector<HeapPoint>& points) {
  std::size_t count = points.size();
  if (count < 2 || !recording.end || recording.end->reason > kLeft || points.back().t + kAtEnd < recording.end->t) return count;
  while (count > 1 && number(points[count - 1].live_bytes()) < kReleased * number(points[count - 2].live_bytes())) --count;
  return count;
}

void build_series(Heap& heap, const Recording& recording) {
  const std::vector<HeapPoint>& points = recording.allocations.heap;
  const std::size_t count = points_at_work(recording, points);
  if (count < points.size()) heap.released_at_end = number(points[count - 1].live_bytes() - points.back().live_bytes());
  const std::size_t step = count / kMostPoints + 1;
  for (std::size_t i = (count + step - 1) % step; i < count; i += step) {  // so that the last one stays
    heap.times.push_back(number(points[i].t) * 1e-9);
    heap.live.push_back(number(points[i].live_bytes()));
  }
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
  build_series(heap, recording);
  return heap;
}

}  // namespace tailback::analyzers
