// SPDX-License-Identifier: Apache-2.0
// The records about the heap: the latest sums of each site, and a bounded series of what was live.
#include <cmath>

#include "analyzers/model/recording_reader.h"

namespace tailback::analyzers {

namespace {

constexpr std::uint64_t kLatestTime = std::uint64_t{1} << 61;  // as for all records: later times are damage
constexpr std::size_t kMostSites = 1 << 20, kMostPoints = 64, kMostHeapPoints = 100'000;
constexpr double kNanosecond = 1e-9, kMilli = 1e-3;

// Every second point goes, but the last one stays.
void thin(std::vector<LivePoint>& points) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < points.size(); ++i)
    if (i % 2 == 0 || i + 1 == points.size()) points[kept++] = points[i];
  points.resize(kept);
}

double as_double(std::uint64_t value) { return static_cast<double>(value); }

}  // namespace

bool RecordingReader::sees_heap(std::uint64_t t) {
  out_.allocations.seen = true;
  if (t >= kLatestTime) {
    ignore();
    return false;
  }
  saw(t);
  return t < to_;
}

void RecordingReader::operator()(const trace::AllocationSite& event) {
  if (!sees_heap(event.t)) return;
  const StackId stack = stack_of(event.stack);
  auto& sites = out_.allocations.sites;
  const auto [at, fresh] = site_rows_.try_emplace(stack, sites.size());
  if (fresh && sites.size() >= kMostSites) {
    site_rows_.erase(at);
    return ignore();
  }
  if (fresh) sites.emplace_back().stack = stack;
  AllocationSiteRow& row = sites[at->second];
  row.blocks = event.blocks;
  row.bytes = event.bytes;
  row.freed_blocks = event.freed_blocks;
  row.freed_bytes = event.freed_bytes;
  row.peak_bytes = event.peak_bytes;
  row.temporary = event.temporary;
  row.reallocations = event.reallocations;
  if (!row.live.empty() && event.t < row.live.back().t) return;
  if (row.live.size() >= kMostPoints) thin(row.live);
  row.live.push_back({event.t, row.live_bytes(), row.live_blocks()});
}

void RecordingReader::operator()(const trace::AllocationSamples& event) {
  if (!sees_heap(event.t)) return;
  const StackId stack = stack_of(event.stack);
  auto& samples = out_.allocations.samples;
  const auto [at, fresh] = sample_rows_.try_emplace(stack, samples.size());
  if (fresh && samples.size() >= kMostSites) {
    sample_rows_.erase(at);
    return ignore();
  }
  if (fresh) samples.emplace_back();
  AllocationSampleRow row;
  row.stack = stack;
  row.samples = event.samples;
  row.blocks = kMilli * as_double(event.milliblocks);
  row.bytes = as_double(event.bytes);
  row.bytes_deviation = 1024 * std::sqrt(as_double(event.variance_kib2));
  row.allocate_seconds = kNanosecond * as_double(event.allocate_ns);
  row.free_seconds = kNanosecond * as_double(event.free_ns);
  row.freed_blocks = kMilli * as_double(event.freed_milliblocks);
  row.temporary_blocks = kMilli * as_double(event.temporary_milliblocks);
  row.crossed_blocks = kMilli * as_double(event.crossed_milliblocks);
  row.reallocated_blocks = kMilli * as_double(event.reallocated_milliblocks);
  row.paged_blocks = kMilli * as_double(event.paged_milliblocks);
  row.moved_bytes = as_double(event.moved_bytes);
  row.sizes.add_coded(event.sizes);
  row.lifetimes.add_coded(event.lifetimes);
  samples[at->second] = std::move(row);
}

void RecordingReader::operator()(const trace::HeapState& event) {
  if (!sees_heap(event.t)) return;
  AllocationTables& heap = out_.allocations;
  heap.exact = event.exact != 0;
  heap.peak_bytes = event.peak_bytes;
  heap.peak_bound_bytes = event.peak_bound_bytes;
  heap.unknown_frees = event.unknown_frees;
  if (heap.heap.size() >= kMostHeapPoints || (!heap.heap.empty() && event.t < heap.heap.back().t)) return ignore();
  heap.heap.push_back({event.t, event.blocks, event.bytes, event.freed_blocks, event.freed_bytes, event.peak_bytes});
}

void RecordingReader::operator()(const trace::AllocatorState& event) {
  if (!sees_heap(event.t)) return;
  AllocationTables& heap = out_.allocations;
  heap.allocator = event.allocator.substr(0, 64);
  if (heap.allocator_states.size() >= kMostHeapPoints || (!heap.allocator_states.empty() && event.t < heap.allocator_states.back().t)) return ignore();
  heap.allocator_states.push_back({event.t, event.in_use_bytes, event.free_bytes, event.mapped_bytes, event.trimmable_bytes, event.resident_bytes, event.retained_bytes,
                                   event.ns});
}

void RecordingReader::operator()(const trace::LeakScan& event) {
  if (!sees_heap(event.t)) return;
  LeakScanOutcome& scan = out_.allocations.leak_scan;
  scan.seen = true;
  scan.completed = event.completed != 0;
  scan.reason = event.reason.substr(0, 256);
  scan.blocks = event.blocks;
  scan.bytes = event.bytes;
  scan.leaked_blocks = event.leaked_blocks;
  scan.leaked_bytes = event.leaked_bytes;
  scan.root_bytes = event.root_bytes;
  scan.ns = event.ns;
  scan.other_threads = event.other_threads;
}

// Written behind the scan that found it: one without such a scan is damage.
void RecordingReader::operator()(const trace::LeakedSite& event) {
  if (!sees_heap(event.t)) return;
  AllocationTables& heap = out_.allocations;
  if (!heap.leak_scan.completed) return ignore();
  const StackId stack = stack_of(event.stack);
  const auto [at, fresh] = leak_rows_.try_emplace(stack, heap.leaks.size());
  if (fresh && heap.leaks.size() >= kMostSites) {
    leak_rows_.erase(at);
    return ignore();
  }
  if (fresh) heap.leaks.emplace_back();
  heap.leaks[at->second] = {stack, event.direct_blocks, event.direct_bytes, event.indirect_blocks, event.indirect_bytes};
}

}  // namespace tailback::analyzers
