// SPDX-License-Identifier: Apache-2.0
// The part of TraceBuilder that speaks of allocations by what they cost: one site's sums and samples at the end.
#include <cmath>

#include "tests/support/trace_builder.h"

namespace tailback::testing {

namespace {

std::uint64_t whole(double value) { return static_cast<std::uint64_t>(std::llround(value)); }

std::string coded(const std::vector<double>& counts) {
  std::string text;
  for (const double count : counts) {
    std::uint8_t bytes[trace::kMaxVarintBytes];
    const std::uint8_t* end = trace::put_varint(bytes, whole(count));
    text.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(end - bytes));
  }
  return text;
}

void add_to(std::vector<double>& counts, double bucket, double count) {
  const auto index = static_cast<std::size_t>(std::max(0.0, bucket));
  if (counts.size() <= index) counts.resize(index + 1);
  counts[index] += count;
}

}  // namespace

TraceBuilder& TraceBuilder::churn(double at, const ChurnSpec& spec) {
  constexpr double kPaged = 128 * 1024;
  double bytes = 0, paged = 0;
  std::vector<double> sizes, lifetimes;
  for (const auto& [size, part] : spec.sizes) {
    bytes += size * part * spec.blocks;
    if (size >= kPaged) paged += part * spec.blocks;
    add_to(sizes, std::floor(std::log2(size)) + 1, part * spec.blocks);
  }
  add_to(lifetimes, std::floor(std::log2(spec.life * 1e9)), spec.blocks);
  trace::AllocationSite site{.t = whole(at * 1e9), .stack = spec.stack, .blocks = whole(spec.blocks), .bytes = whole(bytes), .freed_blocks = whole(spec.blocks), .freed_bytes = whole(bytes)};
  site.temporary = whole(spec.temporary), site.reallocations = whole(spec.reallocations);
  add(site);
  const std::string coded_sizes = coded(sizes), coded_lifetimes = coded(lifetimes);
  trace::AllocationSamples samples{.t = site.t, .stack = spec.stack, .samples = whole(spec.samples), .milliblocks = whole(1000 * spec.blocks), .bytes = site.bytes};
  samples.allocate_ns = whole(spec.blocks * spec.allocate * 1e9), samples.free_ns = whole(spec.blocks * spec.free * 1e9);
  samples.freed_milliblocks = samples.milliblocks, samples.temporary_milliblocks = whole(1000 * spec.temporary);
  samples.crossed_milliblocks = whole(1000 * spec.crossed), samples.reallocated_milliblocks = whole(1000 * spec.reallocations);
  samples.moved_bytes = whole(spec.moved_bytes), samples.paged_milliblocks = whole(1000 * paged);
  samples.sizes = coded_sizes, samples.lifetimes = coded_lifetimes;
  add(samples);
  return add(trace::HeapState{.t = site.t, .blocks = site.blocks, .bytes = site.bytes, .freed_blocks = site.blocks, .freed_bytes = site.bytes});
}

}  // namespace tailback::testing
