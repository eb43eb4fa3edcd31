// SPDX-License-Identifier: Apache-2.0
#include "analyzers/foreign/heaptrack_heap.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace tailback::analyzers::foreign {

namespace {

constexpr std::uint64_t kMostSize = std::uint64_t{1} << 47;  // of a block: all of the address space
constexpr std::size_t kMostKinds = 1 << 24, kMostSites = 1 << 20, kMostPoints = 64, kMostPointsInAll = 4'000'000;
constexpr std::uint64_t kShortest = 50'000'000, kPart = 64;  // ns between two points, and at least this part of the time so far

// Value of each hex digit, 16 of all else.
constexpr auto kHexDigits = [] {
  std::array<std::uint8_t, 256> digits{};
  digits.fill(16);
  for (unsigned i = 0; i < 10; ++i) digits['0' + i] = static_cast<std::uint8_t>(i);
  for (unsigned i = 0; i < 6; ++i) digits['a' + i] = static_cast<std::uint8_t>(10 + i);
  return digits;
}();

// Every second point goes, but the last one stays.
void thin(std::vector<LivePoint>& points) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < points.size(); ++i)
    if (i % 2 == 0 || i + 1 == points.size()) points[kept++] = points[i];
  points.resize(kept);
}

}  // namespace

void HeaptrackHeap::add_kind(std::uint64_t size, StackId stack) {
  if (kinds_.size() >= kMostKinds) return;  // its events count as unknown
  if (stack >= site_of_stack_.size()) site_of_stack_.resize(std::size_t{stack} + 1);
  std::uint32_t& number = site_of_stack_[stack];
  if (!number && sites_.size() < kMostSites) {
    sites_.emplace_back().stack = stack;
    number = static_cast<std::uint32_t>(sites_.size());
  }
  const std::uint32_t site = number ? number - 1 : 0;  // beyond the limit all counts as one
  kinds_.push_back({std::min(size, kMostSize), site});
}

inline void HeaptrackHeap::allocate(const Kind& kind, std::uint64_t number, Site& site, Sums& sums) {
  site.before_change(sums.peaks);
  site.bytes += kind.size;
  ++site.blocks;
  sums.last = number;
  sums.live += kind.size;
  if (sums.live <= sums.peak) return;
  sums.peak = sums.live;
  ++sums.peaks;
}

inline void HeaptrackHeap::free(const Kind& kind, std::uint64_t number, Site& site, Sums& sums) {
  if (site.freed_blocks == site.blocks || site.live() < kind.size) return void(++sums.unknown);
  site.before_change(sums.peaks);
  site.freed_bytes += kind.size;
  ++site.freed_blocks;
  site.temporary += sums.last == number;
  sums.last = kNoKind;
  sums.live -= kind.size;
}

const char* HeaptrackHeap::take_events(const char* at, const char* end) {
  const Kind* const kinds = kinds_.data();
  Site* const sites = sites_.data();
  const std::uint64_t count = kinds_.size();
  Sums sums = sums_;
  while (at < end && (*at == '+' || *at == '-') && at[1] == ' ') {
    const bool allocation = *at == '+';
    std::uint64_t number = 0;
    at += 2;
    for (std::uint8_t digit; (digit = kHexDigits[static_cast<unsigned char>(*at)]) < 16; ++at) number = number << 4 | digit;
    if (number >= count) ++sums.unknown;
    else if (allocation) allocate(kinds[number], number, sites[kinds[number].site], sums);
    else free(kinds[number], number, sites[kinds[number].site], sums);
    if (*at != '\n') at = static_cast<const char*>(std::memchr(at, '\n', static_cast<std::size_t>(end - at)));
    ++at;
  }
  sums_ = sums;
  return at;
}

void HeaptrackHeap::add_points(std::uint64_t t_ns) {
  if (t_ns < last_point_) return;
  last_point_ = t_ns;
  next_point_ = t_ns + std::max(kShortest, t_ns / kPart);
  courses_.resize(sites_.size());
  HeapPoint& sum = heap_.emplace_back();
  sum.t = t_ns;
  for (std::size_t i = 0; i < sites_.size(); ++i) {
    const Site& site = sites_[i];
    sum.blocks += site.blocks, sum.bytes += site.bytes;
    sum.freed_blocks += site.freed_blocks, sum.freed_bytes += site.freed_bytes;
    std::vector<LivePoint>& course = courses_[i];
    if (!course.empty() && course.back().bytes == site.live() && course.back().blocks == site.blocks - site.freed_blocks) continue;
    if (points_ >= kMostPointsInAll) continue;
    points_ -= course.size();
    if (course.size() >= kMostPoints) thin(course);
    course.push_back({t_ns, site.live(), site.blocks - site.freed_blocks});
    points_ += course.size();
  }
}

void HeaptrackHeap::finish(std::uint64_t end_ns, AllocationTables& out) {
  add_points(std::max(end_ns, last_point_));
  out.seen = out.exact = true;
  out.facts.reallocations = out.facts.costs = false;
  out.sites.reserve(sites_.size());
  for (std::size_t i = 0; i < sites_.size(); ++i) {
    Site& site = sites_[i];
    site.before_change(sums_.peaks);
    AllocationSiteRow& row = out.sites.emplace_back();
    row.stack = site.stack;
    row.blocks = site.blocks;
    row.bytes = site.bytes;
    row.freed_blocks = site.freed_blocks;
    row.freed_bytes = site.freed_bytes;
    row.peak_bytes = site.at_peak;
    row.temporary = site.temporary;
    row.live = std::move(courses_[i]);
    row.live.push_back({last_point_, row.live_bytes(), row.live_blocks()});
  }
  out.heap = std::move(heap_);
  out.peak_bytes = out.peak_bound_bytes = sums_.peak;
}

}  // namespace tailback::analyzers::foreign
