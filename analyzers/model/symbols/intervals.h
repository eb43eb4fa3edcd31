// SPDX-License-Identifier: Apache-2.0
// Half-open address ranges that may overlap, flattened once so that a look-up is one binary search. Where ranges overlap the
// highest priority wins, then the highest id, so that the answer never depends on the order of insertion.
// Threading: find() is const and needs no lock after build(). Cost: build O(n log n), find O(log n), 12 bytes a segment.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tailback::analyzers {

class FlatIntervals {
 public:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  // Empty ranges are ignored.
  void add(std::uint64_t start, std::uint64_t end, std::uint32_t priority, std::uint32_t id);
  void build();

  std::uint32_t find(std::uint64_t address) const;  // id or kNone
  bool empty() const { return starts_.empty(); }
  std::size_t bytes() const { return starts_.capacity() * sizeof(std::uint64_t) + ids_.capacity() * sizeof(std::uint32_t); }

 private:
  struct Range {
    std::uint64_t start, end;
    std::uint32_t priority, id;
  };
  void emit(std::uint64_t start, std::uint32_t id);

  std::vector<Range> ranges_;          // until build()
  std::vector<std::uint64_t> starts_;  // ascending; a segment ends where the next begins
  std::vector<std::uint32_t> ids_;
};

}  // namespace tailback::analyzers
