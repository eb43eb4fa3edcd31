// SPDX-License-Identifier: Apache-2.0
// Folds CPU samples and aggregates into rows (interval, thread, stack) within a bound: beyond it the intervals double in
// length, so that a recording of any length gives a table of limited size and no sampled nanosecond is lost.
#pragma once
#include <cstdint>
#include <vector>

#include "analyzers/model/recording.h"

namespace tailback::analyzers {

class CpuRowTable {
 public:
  explicit CpuRowTable(std::size_t most) : most_(most) {}

  // Adds to the row of the same interval, thread and stack.
  void add(const CpuRow& row);

  // Length of the intervals that rows were merged into, 0: as they came.
  std::uint32_t merged_ms() const { return merged_ms_; }
  std::vector<CpuRow> take() { slots_ = {}; return std::move(rows_); }

 private:
  CpuRow widened(CpuRow row) const;
  void insert(const CpuRow& row);
  void grow();
  void coarsen();

  std::size_t most_;
  std::uint32_t merged_ms_ = 0;
  std::vector<CpuRow> rows_;
  std::vector<std::uint32_t> slots_;  // open addressing: index + 1 into rows_, 0 empty; at most half full
};

}  // namespace tailback::analyzers
