// SPDX-License-Identifier: Apache-2.0
// Counts by powers of two, as the agent writes them (agent/trace/events.def: call_aggregate.latencies, .sizes). Histograms of
// any number of intervals, threads or objects add up to that of all of them. Any bytes give a histogram.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace tailback::analyzers {

class LogHistogram {
 public:
  static constexpr std::size_t kBuckets = 64;

  // Adds counts coded as varints, one for each bucket; what follows the last bucket or does not decode is ignored.
  void add_coded(std::string_view counts);
  void add(const LogHistogram& other);

  std::uint64_t total() const { return total_; }
  std::uint64_t count(std::size_t bucket) const { return counts_[bucket]; }

  // Quantile 0..1 of durations: bucket i holds [2^i, 2^(i+1)), even inside a bucket. 0 when empty.
  double duration_quantile(double part) const { return quantile(part, 0); }
  // Of sizes: bucket 0 holds nothing moved, bucket i [2^(i-1), 2^i).
  double size_quantile(double part) const { return quantile(part, 1); }

 private:
  double quantile(double part, std::size_t shift) const;
  std::array<std::uint64_t, kBuckets> counts_{};
  std::uint64_t total_ = 0;
};

}  // namespace tailback::analyzers
