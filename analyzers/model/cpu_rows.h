// SPDX-License-Identifier: Apache-2.0
// Folds CPU samples and aggregates into rows (interval, thread, stack) within a bound: beyond it the intervals grow longer,
// so that a recording of any length gives a table of limited size and no sampled nanosecond is lost.
// Records come nearly in order of time, so equal rows are looked for in the running interval only; an interval that comes
// back later may hold a row twice.
#pragma once
#include <cstdint>
#include <vector>

#include "analyzers/model/recording.h"

namespace tailback::analyzers {

class CpuRowTable {
 public:
  // At most `most` rows as far as longer intervals can achieve it; `expected` may be more than will come.
  CpuRowTable(std::size_t most, std::size_t expected);

  void add(const CpuRow& row);

  // Length of the intervals that rows were merged into, 0: as they came.
  std::uint32_t merged_ms() const { return merged_ms_; }
  std::vector<CpuRow> take() { return std::move(rows_); }

 private:
  // Open addressing over rows_[first..]: index + 1, lower ones count as empty. At most half full.
  struct Index {
    std::vector<std::uint32_t> slots;
    std::size_t first = 0;
  };
  CpuRow widened(CpuRow row) const;
  static bool merge(Index& index, std::vector<CpuRow>& rows, std::size_t used, const CpuRow& row);
  void begin_interval();
  void grow_index();
  void lengthen_intervals();

  std::size_t most_;
  std::uint32_t merged_ms_ = 0, latest_ms_ = 0;
  std::vector<CpuRow> rows_;
  Index running_;
};

}  // namespace tailback::analyzers
