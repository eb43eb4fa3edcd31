// SPDX-License-Identifier: Apache-2.0
// Blocks by address: what goes in comes out, whatever the order and however many threads.
#include "agent/capture/block_table.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>
#include <unordered_map>
#include <vector>

#include "agent/capture/allocations.h"

namespace tailback::capture {
namespace {

LiveBlock block_at(std::uint64_t address, std::uint64_t bytes) { return LiveBlock::make(address, bytes, 7, false); }

bool put(BlockTable<LiveBlock>& table, const LiveBlock& block) {
  LiveBlock replaced;
  return table.insert(block, replaced);
}

TEST(BlockTable, TakesOutWhatWasPutIn) {
  BlockTable<LiveBlock> table;
  ASSERT_TRUE(table.init(1 << 20));
  LiveBlock taken;
  EXPECT_FALSE(table.take(0x1000, taken));
  EXPECT_TRUE(put(table, block_at(0x1000, 24)));
  EXPECT_TRUE(put(table, block_at(0x1010, 8)));
  ASSERT_TRUE(table.take(0x1000, taken));
  EXPECT_EQ(taken.address(), 0x1000u);
  EXPECT_EQ(taken.bytes(), 24u);
  EXPECT_EQ(taken.site(), 7u);
  EXPECT_FALSE(table.take(0x1000, taken));
  EXPECT_TRUE(table.take(0x1010, taken));
}

TEST(BlockTable, AnAddressThatComesAgainReplacesTheOldEntry) {
  BlockTable<LiveBlock> table;
  ASSERT_TRUE(table.init(1 << 20));
  LiveBlock replaced;
  EXPECT_TRUE(table.insert(block_at(0x2000, 1), replaced));
  EXPECT_EQ(replaced.word, 0u);
  EXPECT_TRUE(table.insert(block_at(0x2000, 2), replaced));
  EXPECT_EQ(replaced.bytes(), 1u);
  LiveBlock taken;
  ASSERT_TRUE(table.take(0x2000, taken));
  EXPECT_EQ(taken.bytes(), 2u);
  EXPECT_FALSE(table.take(0x2000, taken));
}

TEST(BlockTable, EqualDistancesAndRandomOnesAreTheSameToIt) {
  for (const std::uint64_t stride : {16u, 32u, 48u, 1024u, 4096u, 65536u, 1u << 20}) {
    BlockTable<LiveBlock> table;
    ASSERT_TRUE(table.init(1 << 20));
    constexpr std::uint64_t kBase = 0x7f12'3450'0000, kBlocks = 20'000;
    for (std::uint64_t i = 0; i < kBlocks; ++i) ASSERT_TRUE(put(table, block_at(kBase + i * stride, i)));
    LiveBlock taken;
    for (std::uint64_t i = 0; i < kBlocks; i += 2) ASSERT_TRUE(table.take(kBase + i * stride, taken) && taken.bytes() == i);
    for (std::uint64_t i = 1; i < kBlocks; i += 2) ASSERT_TRUE(table.take(kBase + i * stride, taken) && taken.bytes() == i);
    ASSERT_FALSE(table.take(kBase, taken));
  }
}

TEST(BlockTable, AgreesWithAMapUnderRandomChanges) {
  BlockTable<LiveBlock> table;
  ASSERT_TRUE(table.init(1 << 20));
  std::unordered_map<std::uint64_t, std::uint64_t> truth;
  std::mt19937_64 random(1);
  for (int i = 0; i < 300'000; ++i) {
    const std::uint64_t address = 0x5555'0000'0000 + random() % 30'000 * 16;
    LiveBlock taken;
    if (random() % 2) {
      ASSERT_TRUE(put(table, block_at(address, random() % 1000)));
      table.take(address, taken);
      truth[address] = taken.bytes();
      ASSERT_TRUE(put(table, taken));
    } else {
      const bool known = truth.erase(address) != 0;
      ASSERT_EQ(table.take(address, taken), known);
    }
  }
  std::size_t count = 0;
  table.for_each([&](const LiveBlock& block) {
    ++count;
    EXPECT_EQ(truth.at(block.address()), block.bytes());
  });
  EXPECT_EQ(count, truth.size());
}

TEST(BlockTable, RefusesBeyondItsLimit) {
  BlockTable<LiveBlock> table;
  ASSERT_TRUE(table.init(0));
  std::uint64_t kept = 0;
  for (std::uint64_t i = 1; i < 10'000; ++i) kept += put(table, block_at(i * 16, i));  // all in one shard
  EXPECT_GT(kept, 100u);
  EXPECT_LT(kept, 1000u);
  LiveBlock taken;
  for (std::uint64_t i = 1; i <= kept; ++i) EXPECT_TRUE(table.take(i * 16, taken));
}

TEST(BlockTable, ThreadsMayTakeEachOthersBlocks) {
  BlockTable<LiveBlock> table;
  ASSERT_TRUE(table.init(1 << 24));  // all of these lie in three shards
  constexpr int kThreads = 4;
  constexpr std::uint64_t kBlocks = 20'000;
  std::vector<std::thread> threads;
  const auto address = [](std::uint64_t thread, std::uint64_t i) { return 0x7000'0000'0000 + (i * kThreads + thread) * 32; };
  std::atomic<std::uint64_t> refused{0};
  for (std::uint64_t thread = 0; thread < kThreads; ++thread)
    threads.emplace_back([&, thread] {
      for (std::uint64_t i = 0; i < kBlocks; ++i) refused += !put(table, block_at(address(thread, i), 1));
      LiveBlock taken;
      for (std::uint64_t i = 0; i < kBlocks; ++i)
        while (!table.take(address((thread + 1) % kThreads, i), taken) && refused == 0) std::this_thread::yield();
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(refused, 0u);
  std::size_t left = 0;
  table.for_each([&](const LiveBlock&) { ++left; });
  EXPECT_EQ(left, 0u);
}

}  // namespace
}  // namespace tailback::capture
