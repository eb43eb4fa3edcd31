// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/cpu_rows.h"

#include <algorithm>
#include <limits>

namespace tailback::analyzers {

namespace {

constexpr std::uint32_t kLongest = std::numeric_limits<std::uint32_t>::max();

// Finaliser of MurmurHash3 (public domain, A. Appleby): every input bit reaches the low bits that index the table.
std::uint64_t mix(std::uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

std::uint64_t hash(const CpuRow& row) {
  return mix((std::uint64_t{row.thread} << 32 | row.stack) ^ mix(std::uint64_t{row.end_ms} << 32 | row.span_ms));
}

bool same_key(const CpuRow& a, const CpuRow& b) {
  return a.stack == b.stack && a.end_ms == b.end_ms && a.thread == b.thread && a.span_ms == b.span_ms;
}

}  // namespace

void CpuRowTable::add(const CpuRow& row) {
  if (2 * (rows_.size() + 1) > slots_.size()) grow();
  insert(merged_ms_ ? widened(row) : row);
  while (rows_.size() > most_ && merged_ms_ < kLongest / 2) coarsen();
}

void CpuRowTable::insert(const CpuRow& row) {
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t slot = hash(row) & mask;; slot = (slot + 1) & mask) {
    if (!slots_[slot]) {
      rows_.push_back(row);
      slots_[slot] = static_cast<std::uint32_t>(rows_.size());
      return;
    }
    CpuRow& known = rows_[slots_[slot] - 1];
    if (!same_key(known, row)) continue;
    known.samples += row.samples;
    known.weight_ns += row.weight_ns;
    return;
  }
}

void CpuRowTable::grow() {
  slots_.assign(std::max<std::size_t>(1024, slots_.size() * 2), 0);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    std::size_t slot = hash(rows_[i]) & mask;
    while (slots_[slot]) slot = (slot + 1) & mask;
    slots_[slot] = static_cast<std::uint32_t>(i + 1);
  }
}

// The row in the interval of merged_ms_ that holds its middle.
CpuRow CpuRowTable::widened(CpuRow row) const {
  if (row.span_ms >= merged_ms_) return row;
  const std::uint64_t middle = row.end_ms - row.span_ms / 2;
  const std::uint64_t end = (middle / merged_ms_ + 1) * merged_ms_;
  row.end_ms = static_cast<std::uint32_t>(std::min<std::uint64_t>(end, kLongest));
  row.span_ms = merged_ms_;
  return row;
}

void CpuRowTable::coarsen() {
  merged_ms_ = merged_ms_ ? merged_ms_ * 2 : 2000;
  std::vector<CpuRow> finer;
  finer.swap(rows_);
  rows_.reserve(finer.size());
  std::fill(slots_.begin(), slots_.end(), 0);
  for (const CpuRow& row : finer) insert(widened(row));
}

}  // namespace tailback::analyzers
