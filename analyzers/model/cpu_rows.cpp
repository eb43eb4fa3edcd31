// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/cpu_rows.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace tailback::analyzers {

namespace {

constexpr std::uint32_t kLatest = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint32_t kFirstMerge = 2000, kMergeFactor = 4;  // milliseconds

// Finaliser of MurmurHash3 (public domain, A. Appleby): every input bit reaches the low bits that index the table.
std::uint64_t mix(std::uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

std::uint64_t hash(const CpuRow& row) {
  return mix((std::uint64_t{row.thread} << 32 | row.stack) + mix(std::uint64_t{row.end_ms} << 32 | row.span_ms));
}

bool same_interval(const CpuRow& a, const CpuRow& b) { return a.end_ms == b.end_ms && a.span_ms == b.span_ms; }
bool same_key(const CpuRow& a, const CpuRow& b) { return a.stack == b.stack && a.thread == b.thread && same_interval(a, b); }

}  // namespace

CpuRowTable::CpuRowTable(std::size_t most, std::size_t expected) : most_(most) {
  rows_.reserve(std::min(most, expected) + 1);  // address space only, touched as rows come
  running_.slots.assign(1024, 0);
}

void CpuRowTable::add(const CpuRow& row) {
  latest_ms_ = std::max(latest_ms_, row.end_ms);
  const CpuRow wide = merged_ms_ ? widened(row) : row;
  if (rows_.empty() || !same_interval(rows_.back(), wide)) begin_interval();
  if (2 * (rows_.size() - running_.first + 1) > running_.slots.size()) grow_index();
  if (merge(running_, rows_, rows_.size(), wide)) return;
  rows_.push_back(wide);
  if (rows_.size() > most_) lengthen_intervals();
}

// Adds `row` to its equal among rows[index.first..used), or enters it as number `used` and returns false.
bool CpuRowTable::merge(Index& index, std::vector<CpuRow>& rows, std::size_t used, const CpuRow& row) {
  const std::size_t mask = index.slots.size() - 1;
  for (std::size_t slot = hash(row) & mask;; slot = (slot + 1) & mask) {
    if (index.slots[slot] <= index.first) {
      index.slots[slot] = static_cast<std::uint32_t>(used + 1);
      return false;
    }
    CpuRow& known = rows[index.slots[slot] - 1];
    if (!same_key(known, row)) continue;
    known.samples += row.samples;
    known.weight_ns += row.weight_ns;
    return true;
  }
}

void CpuRowTable::begin_interval() { running_.first = rows_.size(); }

void CpuRowTable::grow_index() {
  running_.slots.assign(running_.slots.size() * 2, 0);
  const std::size_t mask = running_.slots.size() - 1;
  for (std::size_t i = running_.first; i < rows_.size(); ++i) {
    std::size_t slot = hash(rows_[i]) & mask;
    while (running_.slots[slot]) slot = (slot + 1) & mask;
    running_.slots[slot] = static_cast<std::uint32_t>(i + 1);
  }
}

// The row in the interval of merged_ms_ that holds its middle.
CpuRow CpuRowTable::widened(CpuRow row) const {
  if (row.span_ms >= merged_ms_) return row;
  const std::uint64_t middle = row.end_ms - row.span_ms / 2;
  row.end_ms = static_cast<std::uint32_t>(std::min<std::uint64_t>((middle / merged_ms_ + 1) * merged_ms_, kLatest));
  row.span_ms = merged_ms_;
  return row;
}

void CpuRowTable::lengthen_intervals() {
  while (rows_.size() > most_ - most_ / 4 && merged_ms_ <= latest_ms_ && merged_ms_ < kLatest / kMergeFactor) {
    merged_ms_ = merged_ms_ ? merged_ms_ * kMergeFactor : kFirstMerge;
    Index all{std::vector<std::uint32_t>(std::bit_ceil(2 * rows_.size() + 2)), 0};
    std::size_t used = 0;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const CpuRow wide = widened(rows_[i]);
      if (!merge(all, rows_, used, wide)) rows_[used++] = wide;
    }
    rows_.resize(used);
  }
  // All time is one interval and still too many: then threads and stacks are that many.
  most_ = std::max(most_, rows_.size() + rows_.size() / 3);
  begin_interval();
}

}  // namespace tailback::analyzers
