// SPDX-License-Identifier: Apache-2.0
// The part of TraceBuilder that speaks of the heap: sums of each site and of all, step by step, as the agent writes them.
#include <algorithm>
#include <cmath>

#include "tests/support/trace_builder.h"

namespace tailback::testing {

namespace {

std::uint64_t whole(double value) { return static_cast<std::uint64_t>(std::llround(std::max(0.0, value))); }

struct Sums {
  double blocks = 0, freed = 0;
};

Sums sums_at(const HeapSiteSpec& site, double t) { return {site.blocks(t), site.freed ? site.freed(t) : 0}; }

double live_at(const HeapSpec& spec, double t) {
  double live = 0;
  for (const HeapSiteSpec& site : spec.sites) {
    const Sums sums = sums_at(site, t);
    live += (sums.blocks - sums.freed) * site.size;
  }
  return live;
}

struct Peak {
  double t = 0, bytes = 0;
};

// Peaks lie between the steps as well.
Peak peak_until(const HeapSpec& spec, double to) {
  constexpr double kStep = 0.01;
  Peak peak;
  for (double t = 0; t <= to + 1e-9; t += kStep)
    if (const double live = live_at(spec, t); live > peak.bytes) peak = {t, live};
  return peak;
}

std::string in_bucket(std::size_t bucket, double count) {
  std::string coded(bucket, '\0');
  std::uint8_t bytes[trace::kMaxVarintBytes];
  const std::uint8_t* end = trace::put_varint(bytes, whole(count));
  return coded.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(end - bytes));
}

trace::AllocationSite record_of(const HeapSiteSpec& site, double t, const Sums& sums, double at_peak) {
  trace::AllocationSite record{.t = whole(t * 1e9), .stack = site.stack, .blocks = whole(sums.blocks), .bytes = whole(sums.blocks * site.size)};
  record.freed_blocks = whole(sums.freed), record.freed_bytes = whole(sums.freed * site.size);
  record.peak_bytes = whole(at_peak);
  return record;
}

}  // namespace

TraceBuilder& TraceBuilder::heap(const HeapSpec& spec) {
  const auto write = [&](double t, bool all_freed) {
    const Peak peak = peak_until(spec, t);
    trace::HeapState state{.t = whole(t * 1e9), .exact = spec.exact, .peak_bytes = whole(peak.bytes), .peak_bound_bytes = whole(peak.bytes)};
    for (const HeapSiteSpec& site : spec.sites) {
      Sums sums = sums_at(site, t);
      if (all_freed) sums.freed = sums.blocks;
      const Sums then = sums_at(site, peak.t);
      add(record_of(site, t, sums, (then.blocks - then.freed) * site.size));
      state.blocks += whole(sums.blocks), state.bytes += whole(sums.blocks * site.size);
      state.freed_blocks += whole(sums.freed), state.freed_bytes += whole(sums.freed * site.size);
    }
    add(state);
  };
  for (double t = spec.every; t < spec.to - 1e-9; t += spec.every) write(t, false);
  write(spec.to, spec.released_at_end);
  for (const HeapSiteSpec& site : spec.sites) {
    if (site.life <= 0 && spec.samples_each <= 0) continue;
    const Sums sums = sums_at(site, spec.to);
    const double bytes = sums.blocks * site.size, each = std::max(spec.samples_each, 1.0);
    trace::AllocationSamples samples{.t = whole(spec.to * 1e9), .stack = site.stack, .samples = whole(bytes / each), .milliblocks = whole(1000 * sums.blocks), .bytes = whole(bytes)};
    samples.variance_kib2 = whole(bytes * spec.samples_each / (1024.0 * 1024.0));
    samples.freed_milliblocks = whole(1000 * sums.freed);
    const std::string lifetimes = site.life > 0 ? in_bucket(static_cast<std::size_t>(std::log2(site.life * 1e9)), sums.freed) : std::string();
    samples.lifetimes = lifetimes;
    add(samples);
  }
  return *this;
}

}  // namespace tailback::testing
