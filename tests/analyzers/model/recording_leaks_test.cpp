// SPDX-License-Identifier: Apache-2.0
// What a recording says of lost blocks and of the allocator.
#include <gtest/gtest.h>

#include "analyzers/model/recording.h"
#include "tests/support/trace_builder.h"

namespace tailback::analyzers {
namespace {

using testing::kSecond;
using testing::TraceBuilder;

AllocationTables read(const TraceBuilder& builder, const ReadOptions& options = {}) {
  return read_recording_image(builder.image_bytes(), "test.tbk", options).allocations;
}

trace::LeakScan completed_scan() {
  return {.t = kSecond, .completed = 1, .blocks = 50, .bytes = 5000, .root_bytes = 9, .leaked_blocks = 7, .leaked_bytes = 700, .ns = 11, .other_threads = 2};
}

TEST(RecordingLeaks, SitesAndTheOutcome) {
  TraceBuilder builder;
  const auto stack = builder.stack({"main", "lose"}), other = builder.stack({"main", "drop"});
  builder.add(completed_scan());
  builder.add(trace::LeakedSite{.t = kSecond, .stack = stack, .direct_blocks = 2, .direct_bytes = 200, .indirect_blocks = 3, .indirect_bytes = 300});
  builder.add(trace::LeakedSite{.t = kSecond, .stack = other, .direct_blocks = 2, .direct_bytes = 200});
  const AllocationTables heap = read(builder.finish(2));
  EXPECT_TRUE(heap.leak_scan.seen);
  EXPECT_TRUE(heap.leak_scan.completed);
  EXPECT_EQ(heap.leak_scan.blocks, 50u);
  EXPECT_EQ(heap.leak_scan.leaked_bytes, 700u);
  EXPECT_EQ(heap.leak_scan.other_threads, 2u);
  ASSERT_EQ(heap.leaks.size(), 2u);
  EXPECT_NE(heap.leaks[0].stack, heap.leaks[1].stack);
  EXPECT_EQ(heap.leaks[0].blocks(), 5u);
  EXPECT_EQ(heap.leaks[0].bytes(), 500u);
  EXPECT_EQ(heap.leaks[1].direct_blocks, 2u);
}

TEST(RecordingLeaks, NothingIsLostWhereTheSearchWasNotCompleted) {
  TraceBuilder builder;
  const auto stack = builder.stack({"main", "lose"});
  builder.add(trace::LeakScan{.t = kSecond, .reason = "it took too long"});
  builder.add(trace::LeakedSite{.t = kSecond, .stack = stack, .direct_blocks = 2, .direct_bytes = 200});
  const AllocationTables heap = read(builder.finish(2));
  EXPECT_TRUE(heap.leak_scan.seen);
  EXPECT_FALSE(heap.leak_scan.completed);
  EXPECT_EQ(heap.leak_scan.reason, "it took too long");
  EXPECT_TRUE(heap.leaks.empty());
}

TEST(RecordingLeaks, SitesWithoutASearchAreDamage) {
  TraceBuilder builder;
  builder.add(trace::LeakedSite{.t = kSecond, .stack = builder.stack({"main"}), .direct_blocks = 2, .direct_bytes = 200});
  const AllocationTables heap = read(builder.finish(2));
  EXPECT_FALSE(heap.leak_scan.seen);
  EXPECT_TRUE(heap.leaks.empty());
}

TEST(RecordingLeaks, OneRowForAStack) {
  TraceBuilder builder;
  const auto stack = builder.stack({"main", "lose"});
  builder.add(completed_scan());
  for (std::uint64_t blocks : {2, 5}) builder.add(trace::LeakedSite{.t = kSecond, .stack = stack, .direct_blocks = blocks, .direct_bytes = 200});
  const AllocationTables heap = read(builder.finish(2));
  ASSERT_EQ(heap.leaks.size(), 1u);
  EXPECT_EQ(heap.leaks[0].direct_blocks, 5u);
}

TEST(RecordingLeaks, TheAllocatorsOwnFigures) {
  TraceBuilder builder;
  builder.add(trace::AllocatorState{.t = kSecond, .allocator = "jemalloc", .in_use_bytes = 1, .free_bytes = 2, .mapped_bytes = 3, .trimmable_bytes = 4, .resident_bytes = 5,
                                    .retained_bytes = 6, .ns = 7});
  const AllocationTables heap = read(builder.finish(2));
  EXPECT_EQ(heap.allocator, "jemalloc");
  ASSERT_EQ(heap.allocator_states.size(), 1u);
  EXPECT_EQ(heap.allocator_states[0].resident_bytes, 5u);
  EXPECT_EQ(heap.allocator_states[0].retained_bytes, 6u);
}

}  // namespace
}  // namespace tailback::analyzers
