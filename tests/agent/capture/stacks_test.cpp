// SPDX-License-Identifier: Apache-2.0
// The tree of stacks: one number for one edge, whoever asks; limits; races; memory.
#include "agent/capture/stacks.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

namespace tailback::capture {
namespace {

TEST(StackTable, OneNumberForOneEdge) {
  StackTable table;
  ASSERT_TRUE(table.init(1000));
  const auto root = table.intern(0, 0x1000);
  const auto child = table.intern(root, 0x2000);
  EXPECT_EQ(root, 1u);
  EXPECT_EQ(child, 2u);
  EXPECT_EQ(table.intern(0, 0x1000), root);
  EXPECT_EQ(table.intern(root, 0x2000), child);
  EXPECT_EQ(table.find(root, 0x2000), child);
  EXPECT_EQ(table.find(child, 0x2000), 0u);
  EXPECT_NE(table.intern(0, 0x2000), child);
  EXPECT_NE(table.intern(0, 0x1000, NodeKind::generation), root);
  EXPECT_EQ(table.count(), 4u);
  ASSERT_NE(table.node(child), nullptr);
  EXPECT_EQ(table.node(child)->address, 0x2000u);
  EXPECT_EQ(table.node(child)->parent, root);
  EXPECT_EQ(table.node(child)->kind, static_cast<std::uint32_t>(NodeKind::code));
  EXPECT_EQ(table.node(0), nullptr);
  EXPECT_EQ(table.node(5), nullptr);
  EXPECT_EQ(table.node(100'000), nullptr);
}

TEST(StackTable, RefusesAtItsLimitButKnowsWhatItHas) {
  StackTable table;
  ASSERT_TRUE(table.init(800));
  for (std::uint32_t i = 1; i <= 800; ++i) {
    EXPECT_EQ(table.nearly_full(), i > 700);
    EXPECT_EQ(table.intern(0, i), i);
  }
  EXPECT_EQ(table.intern(0, 801), 0u);
  EXPECT_EQ(table.intern(7, 802), 0u);
  EXPECT_EQ(table.rejected(), 2u);
  EXPECT_EQ(table.intern(0, 800), 800u);
  EXPECT_EQ(table.count(), 800u);
  table.reset();
  EXPECT_EQ(table.count(), 0u);
  EXPECT_EQ(table.node(1), nullptr);
  EXPECT_EQ(table.intern(0, 5), 1u);
}

TEST(StackTable, RacingThreadsAgree) {
  constexpr unsigned kThreads = 4, kEdges = 20'000;
  StackTable table;
  ASSERT_TRUE(table.init(kThreads * kEdges));
  std::vector<std::vector<StackId>> ids(kThreads);
  std::vector<std::thread> threads;
  for (auto& mine : ids)
    threads.emplace_back([&table, &mine] {
      StackId parent = 0;
      for (unsigned i = 0; i < kEdges; ++i) {
        parent = table.intern(i % 50 ? parent : 0, 0x1000 + i * 16);
        ASSERT_NE(parent, 0u);
        ASSERT_NE(table.node(parent), nullptr);
        mine.push_back(parent);
      }
    });
  for (auto& thread : threads) thread.join();
  for (unsigned i = 1; i < kThreads; ++i) EXPECT_EQ(ids[i], ids[0]);
  EXPECT_EQ(std::set<StackId>(ids[0].begin(), ids[0].end()).size(), kEdges);
}

// The limit that the agent uses stays within its share of memory when full.
TEST(StackTable, FitsInItsShareOfMemoryWhenFull) {
  StackTable table;
  ASSERT_TRUE(table.init(384 * 1024));
  StackId parent = 0;
  for (std::uint32_t i = 0; i < 384 * 1024; ++i) parent = table.intern(i % 64 ? parent : 0, 0x555500000000 + i * 24ull);
  EXPECT_EQ(table.count(), 384u * 1024);
  EXPECT_LE(table.resident_bytes(), 10u << 20);
  EXPECT_GT(table.resident_bytes(), 6u << 20);
}

}  // namespace
}  // namespace tailback::capture
