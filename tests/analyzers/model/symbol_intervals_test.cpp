// SPDX-License-Identifier: Apache-2.0
// Overlapping ranges: the flattened index must agree with asking every range.
#include <gtest/gtest.h>

#include <random>

#include "analyzers/model/symbols/intervals.h"

namespace tailback::analyzers {
namespace {

TEST(FlatIntervals, EmptyIndexFindsNothing) {
  FlatIntervals intervals;
  intervals.build();
  EXPECT_TRUE(intervals.empty());
  EXPECT_EQ(intervals.find(0), FlatIntervals::kNone);
  EXPECT_EQ(intervals.find(UINT64_MAX), FlatIntervals::kNone);
}

TEST(FlatIntervals, EndsAreExclusiveAndGapsAreNobodys) {
  FlatIntervals intervals;
  intervals.add(10, 20, 0, 1);
  intervals.add(30, 40, 0, 2);
  intervals.add(5, 5, 9, 3);
  intervals.build();
  EXPECT_EQ(intervals.find(9), FlatIntervals::kNone);
  EXPECT_EQ(intervals.find(5), FlatIntervals::kNone);
  EXPECT_EQ(intervals.find(10), 1u);
  EXPECT_EQ(intervals.find(19), 1u);
  EXPECT_EQ(intervals.find(20), FlatIntervals::kNone);
  EXPECT_EQ(intervals.find(30), 2u);
  EXPECT_EQ(intervals.find(40), FlatIntervals::kNone);
}

TEST(FlatIntervals, OuterRangeComesBackBehindTheInnerOne) {
  FlatIntervals intervals;
  intervals.add(0, 100, 0, 1);
  intervals.add(20, 40, 1, 2);
  intervals.add(25, 30, 2, 3);
  intervals.build();
  EXPECT_EQ(intervals.find(19), 1u);
  EXPECT_EQ(intervals.find(24), 2u);
  EXPECT_EQ(intervals.find(29), 3u);
  EXPECT_EQ(intervals.find(30), 2u);
  EXPECT_EQ(intervals.find(40), 1u);
}

TEST(FlatIntervals, ReachesTheEndOfTheAddressSpace) {
  FlatIntervals intervals;
  intervals.add(UINT64_MAX - 1, UINT64_MAX, 0, 7);
  intervals.build();
  EXPECT_EQ(intervals.find(UINT64_MAX - 1), 7u);
  EXPECT_EQ(intervals.find(UINT64_MAX), FlatIntervals::kNone);
}

struct Range {
  std::uint64_t start, end;
  std::uint32_t priority;
};

std::uint32_t slow_find(const std::vector<Range>& ranges, std::uint64_t address) {
  std::uint32_t best = FlatIntervals::kNone;
  for (std::uint32_t i = 0; i < ranges.size(); ++i) {
    if (address < ranges[i].start || address >= ranges[i].end) continue;
    if (best == FlatIntervals::kNone || ranges[i].priority >= ranges[best].priority) best = i;
  }
  return best;
}

TEST(FlatIntervals, AgreesWithAskingEveryRange) {
  std::mt19937 random(5);
  for (int round = 0; round < 300; ++round) {
    std::vector<Range> ranges(random() % 40);
    FlatIntervals intervals;
    for (std::uint32_t i = 0; i < ranges.size(); ++i) {
      const std::uint64_t start = random() % 60;
      ranges[i] = {start, start + random() % 20, static_cast<std::uint32_t>(random() % 4)};
      intervals.add(ranges[i].start, ranges[i].end, ranges[i].priority, i);
    }
    intervals.build();
    for (std::uint64_t address = 0; address < 90; ++address)
      ASSERT_EQ(intervals.find(address), slow_find(ranges, address)) << "round " << round << " address " << address;
  }
}

}  // namespace
}  // namespace tailback::analyzers
