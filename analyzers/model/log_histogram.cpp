// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/log_histogram.h"

#include <algorithm>
#include <cmath>

namespace tailback::analyzers {

namespace {

constexpr std::uint64_t kMostInBucket = std::uint64_t{1} << 48;  // more is damage, and sums must not overflow

// Reads one varint off the front; false at the end or where it does not fit 64 bits.
bool take_varint(std::string_view& bytes, std::uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<std::uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

}  // namespace

void LogHistogram::add_coded(std::string_view counts) {
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < kBuckets && take_varint(counts, count); ++i) {
    count = std::min(count, kMostInBucket);
    counts_[i] += count;
    total_ += count;
  }
}

void LogHistogram::add(const LogHistogram& other) {
  for (std::size_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
  total_ += other.total_;
}

double LogHistogram::quantile(double part, std::size_t shift) const {
  const double wanted = std::clamp(part, 0.0, 1.0) * static_cast<double>(total_);
  double before = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    const auto here = static_cast<double>(counts_[i]);
    if (here <= 0 || before + here < wanted) {
      before += here;
      continue;
    }
    if (i < shift) return 0;
    const double low = std::ldexp(1.0, static_cast<int>(i - shift));
    return low * (1 + (wanted - before) / here);
  }
  return 0;
}

}  // namespace tailback::analyzers
