// SPDX-License-Identifier: Apache-2.0
// Flattening of overlapping ranges: a sweep over the starts with a heap of the ranges that are open.
#include "analyzers/model/symbols/intervals.h"

#include <algorithm>
#include <queue>

namespace tailback::analyzers {

void FlatIntervals::add(std::uint64_t start, std::uint64_t end, std::uint32_t priority, std::uint32_t id) {
  if (start < end) ranges_.push_back({start, end, priority, id});
}

void FlatIntervals::emit(std::uint64_t start, std::uint32_t id) {
  if (!starts_.empty() && starts_.back() == start) {
    ids_.back() = id;
  } else if (starts_.empty() || ids_.back() != id) {
    starts_.push_back(start);
    ids_.push_back(id);
  }
}

void FlatIntervals::build() {
  starts_.clear();
  ids_.clear();
  std::sort(ranges_.begin(), ranges_.end(), [](const Range& a, const Range& b) { return a.start < b.start; });
  const auto below = [](const Range* a, const Range* b) {
    return a->priority != b->priority ? a->priority < b->priority : a->id < b->id;
  };
  std::priority_queue<const Range*, std::vector<const Range*>, decltype(below)> open(below);
  std::size_t next = 0;
  std::uint64_t position = 0;
  while (next < ranges_.size() || !open.empty()) {
    while (!open.empty() && open.top()->end <= position) open.pop();
    if (open.empty() && next < ranges_.size()) {
      if (ranges_[next].start > position && !starts_.empty()) emit(position, kNone);
      position = std::max(position, ranges_[next].start);
    }
    while (next < ranges_.size() && ranges_[next].start <= position) open.push(&ranges_[next++]);
    while (!open.empty() && open.top()->end <= position) open.pop();
    if (open.empty()) continue;
    emit(position, open.top()->id);
    position = next < ranges_.size() ? std::min(open.top()->end, ranges_[next].start) : open.top()->end;
  }
  if (!starts_.empty()) emit(position, kNone);
  std::vector<Range>().swap(ranges_);
  starts_.shrink_to_fit();
  ids_.shrink_to_fit();
}

std::uint32_t FlatIntervals::find(std::uint64_t address) const {
  const auto after = std::upper_bound(starts_.begin(), starts_.end(), address);
  return after == starts_.begin() ? kNone : ids_[static_cast<std::size_t>(after - starts_.begin()) - 1];
}

}  // namespace tailback::analyzers
