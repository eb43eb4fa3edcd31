// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/allocator_calls.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

namespace tailback::engine {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

TEST(AllocatorCalls, AsksGlibc) {
  AllocatorCalls calls;
  calls.kind = AllocatorKind::glibc;
  calls.mallinfo2 = [] {
    struct mallinfo2 info {};
    info.arena = 1000;
    info.hblkhd = 200;
    info.uordblks = 700;
    info.fordblks = 300;
    info.keepcost = 50;
    return info;
  };
  trace::AllocatorState state;
  ASSERT_TRUE(ask_allocator(calls, state));
  EXPECT_EQ(state.allocator, "glibc");
  EXPECT_EQ(state.in_use_bytes, 900u);
  EXPECT_EQ(state.free_bytes, 300u);
  EXPECT_EQ(state.mapped_bytes, 1200u);
  EXPECT_EQ(state.trimmable_bytes, 50u);
}

TEST(AllocatorCalls, AsksJemallocForAFreshEpochFirst) {
  static int epochs;
  epochs = 0;
  AllocatorCalls calls;
  calls.kind = AllocatorKind::jemalloc;
  calls.mallctl = [](const char* name, void* old, std::size_t*, void* value, std::size_t) {
    if (std::strcmp(name, "epoch") == 0) return epochs += value != nullptr, 0;
    std::size_t answer = 0;
    if (std::strcmp(name, "stats.allocated") == 0) answer = 600;
    else if (std::strcmp(name, "stats.resident") == 0) answer = 1000;
    else if (std::strcmp(name, "stats.mapped") == 0) answer = 2000;
    else if (std::strcmp(name, "stats.active") == 0) answer = 700;
    else if (std::strcmp(name, "stats.metadata") == 0) answer = 100;
    else if (std::strcmp(name, "stats.retained") == 0) answer = 5000;
    else return 2;
    if (epochs == 1) std::memcpy(old, &answer, sizeof answer);
    return 0;
  };
  trace::AllocatorState state;
  ASSERT_TRUE(ask_allocator(calls, state));
  EXPECT_EQ(state.in_use_bytes, 600u);
  EXPECT_EQ(state.free_bytes, 400u);
  EXPECT_EQ(state.mapped_bytes, 2000u);
  EXPECT_EQ(state.retained_bytes, 5000u);
  EXPECT_EQ(state.trimmable_bytes, 200u);
}

TEST(AllocatorCalls, AsksNobodyItDoesNotKnow) {
  trace::AllocatorState state;
  EXPECT_FALSE(ask_allocator({}, state));
  for (const AllocatorKind kind : {AllocatorKind::glibc, AllocatorKind::jemalloc, AllocatorKind::tcmalloc, AllocatorKind::mimalloc}) {
    AllocatorCalls calls;
    calls.kind = kind;
    EXPECT_FALSE(ask_allocator(calls, state)) << "without its functions";
  }
}

TEST(AskingBudget, OnceASecondAndAThousandthOfTheTime) {
  AskingBudget budget;
  budget.begin();
  EXPECT_FALSE(budget.due(kSecond / 2));
  EXPECT_TRUE(budget.due(kSecond));
  budget.took(kSecond, 1000);
  EXPECT_FALSE(budget.due(2 * kSecond - 1));
  EXPECT_TRUE(budget.due(2 * kSecond));
  budget.took(2 * kSecond, 5'000'000);
  EXPECT_FALSE(budget.due(7 * kSecond - 1));
  EXPECT_TRUE(budget.due(7 * kSecond));
}

TEST(AskingBudget, ExpectsNoMoreFreeChunksThanThereCanBe) {
  const auto few = AskingBudget::expected_ns(AllocatorKind::glibc, 1'000'000, 10), held = AskingBudget::expected_ns(AllocatorKind::glibc, 10, 1'000'000);
  EXPECT_EQ(few, held);
  EXPECT_LT(few, AskingBudget::kMostNs);
  EXPECT_GT(AskingBudget::expected_ns(AllocatorKind::glibc, 1'000'000, 1'000'000), AskingBudget::kMostAtEndNs);
  EXPECT_LT(AskingBudget::expected_ns(AllocatorKind::jemalloc, 1'000'000, 1'000'000), AskingBudget::kMostNs);
}

}  // namespace
}  // namespace tailback::engine
