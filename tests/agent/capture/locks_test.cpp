// SPDX-License-Identifier: Apache-2.0
// Lists of held locks, pairs among them, and who holds whom up.
#include "agent/capture/locks.h"

#include <gtest/gtest.h>

#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "agent/capture/sampling.h"
#include "agent/capture/thread.h"

namespace tailback::capture {
namespace {

using trace::Call;

constexpr std::uint64_t kA = 0x1000, kB = 0x2000, kC = 0x3000;

class LocksTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(code_.init("/bin/program") && stacks_.init(4096) && unwinder_.init(code_, stacks_) && threads_.init());
    sampling.unwinder = &unwinder_;
    tick_clock.init(false);  // ticks are nanoseconds
    call_epoch = 0;
    thread_ = threads_.acquire();
    ASSERT_NE(thread_, nullptr);
    thread_->id = next_thread_++;
    new (&lock_orders) LockOrders;  // each test with tables of its own
  }
  void take(std::uint64_t lock, Taking taking = Taking::waiting, Waited waited = {}) { took_lock(*thread_, Call::mutex_lock, lock, this, taking, waited); }
  HeldLock give(std::uint64_t lock) { return gave_lock(thread_->locks, lock); }
  // As the hooks do it.
  void take_usually(std::uint64_t lock) {
    if (thread_->locks.until_timed == 0 || !took_lone_lock(thread_->locks, Call::mutex_lock, lock, this)) take(lock);
  }
  HeldLock give_usually(std::uint64_t lock) { return gave_plain_lock(thread_->locks, lock) ? HeldLock{} : give(lock); }

  static inline std::uint64_t next_thread_ = 1;
  CodeMap code_;
  StackTable stacks_;
  Unwinder unwinder_;
  ThreadTable threads_;
  ThreadBlock* thread_ = nullptr;
};

TEST_F(LocksTest, InnermostIsTheOneTakenLast) {
  ThreadLocks& locks = thread_->locks;
  EXPECT_EQ(locks.innermost(), 0u);
  take(kA), take(kB), take(kC);
  EXPECT_EQ(locks.innermost(), kC);
  EXPECT_EQ(give(kB).object, kB);  // not in the order of taking
  EXPECT_EQ(locks.innermost(), kC);
  EXPECT_EQ(give(kC).object, kC);
  EXPECT_EQ(locks.innermost(), kA);
  EXPECT_EQ(give(kA).object, kA);
  EXPECT_EQ(locks.count, 0u);
}

TEST_F(LocksTest, TakenAgainItIsHeldUntilTheLastTime) {
  take(kA), take(kA), take(kB), take(kA);
  EXPECT_EQ(thread_->locks.count, 2u);
  EXPECT_EQ(give(kA).object, 0u);
  EXPECT_EQ(give(kA).object, 0u);
  EXPECT_FALSE(gave_plain_lock(thread_->locks, kA));
  EXPECT_EQ(give(kA).object, kA);
  EXPECT_EQ(thread_->locks.innermost(), kB);
}

TEST_F(LocksTest, WhatWasTakenUnseenIsGivenBackUnseen) {
  EXPECT_TRUE(gave_plain_lock(thread_->locks, kA));
  EXPECT_EQ(give(kA).object, 0u);
  take(kB);
  EXPECT_EQ(give(kA).object, 0u);
  EXPECT_EQ(thread_->locks.innermost(), kB);
}

TEST_F(LocksTest, MoreThanCanBeKept) {
  for (std::uint64_t lock = 1; lock <= 3 * ThreadLocks::kHeld; ++lock) take(lock * 64);
  EXPECT_EQ(thread_->locks.count, ThreadLocks::kHeld);
  for (std::uint64_t lock = 3 * ThreadLocks::kHeld; lock >= 1; --lock) give(lock * 64);
  EXPECT_EQ(thread_->locks.count, 0u);
}

TEST_F(LocksTest, AWaitLeavesNothingInTheEntryForTheNext) {
  take(kB);  // the first of a thread is timed whatever comes
  give(kB);
  take(kA, Taking::waiting, {7, 1234});
  EXPECT_FALSE(gave_plain_lock(thread_->locks, kA));
  const HeldLock held = give(kA);
  EXPECT_EQ(held.stack, 7u);
  EXPECT_EQ(held.since, 1234u);
  take_usually(kA);
  EXPECT_EQ(thread_->locks.held[0].since, 0u);
  EXPECT_EQ(thread_->locks.held[0].stack, 0u);
  EXPECT_TRUE(gave_plain_lock(thread_->locks, kA));
}

TEST_F(LocksTest, RandomAcquisitionsStandForAll) {
  constexpr int kTimes = 200'000;
  double stand_for = 0;
  int timed = 0;
  for (int i = 0; i < kTimes; ++i) {
    take_usually(kA);
    const HeldLock held = give_usually(kA);
    stand_for += held.weight, timed += held.weight != 0;
  }
  EXPECT_NEAR(stand_for, kTimes, 0.1 * kTimes);
  EXPECT_NEAR(timed, kTimes / 256.0, 0.1 * kTimes / 256.0);
}

TEST_F(LocksTest, PairsAreNotedOnceAndAgainInLaterEpochs) {
  ASSERT_TRUE(lock_orders.init());
  for (int i = 0; i < 3; ++i) take(kA), take(kB), give(kB), give(kA);
  ASSERT_EQ(lock_orders.count(), 1u);
  LockOrder& order = lock_orders.at(0);
  EXPECT_EQ(order.held, kA);
  EXPECT_EQ(order.taken, kB);
  EXPECT_EQ(order.thread, thread_->id);
  const std::uint64_t first = order.last_ns;
  ++call_epoch;
  take(kA), take(kB);
  EXPECT_EQ(lock_orders.count(), 1u);
  EXPECT_GT(order.last_ns, first);
  EXPECT_EQ(order.first_ns, first);
  take(kC);  // both that are held
  EXPECT_EQ(lock_orders.count(), 3u);
}

TEST_F(LocksTest, WhoTriesOrGivesUpMakesNoPair) {
  ASSERT_TRUE(lock_orders.init());
  take(kA), take(kB, Taking::trying), give(kB), take(kC, Taking::waiting_for_a_while);
  EXPECT_EQ(lock_orders.count(), 0u);
}

TEST_F(LocksTest, OnlyGatesHeldEachTimeRemain) {
  ASSERT_TRUE(lock_orders.init());
  take(kC), take(kA), take(kB);
  const LockOrder* inner = nullptr;
  for (std::uint32_t i = 0; i < lock_orders.count(); ++i)
    if (lock_orders.at(i).held == kA) inner = &lock_orders.at(i);
  ASSERT_NE(inner, nullptr);
  EXPECT_EQ(inner->gates[0], kC);
  give(kB), give(kA), give(kC);
  ++call_epoch;
  take(kA), take(kB);
  EXPECT_EQ(inner->gates[0], 0u);
}

TEST_F(LocksTest, MorePairsThanThereIsRoomForAreCounted) {
  ASSERT_TRUE(lock_orders.init());
  take(kA);
  for (std::uint64_t lock = 1; lock <= LockOrders::kMost + 10; ++lock) take(0x100000 + 64 * lock), give(0x100000 + 64 * lock);
  EXPECT_EQ(lock_orders.count(), LockOrders::kMost);
  EXPECT_EQ(lock_orders.lost(), 1u);  // of one thread, in one epoch
}

TEST_F(LocksTest, ThreadsNotePairsAtOnce) {
  ASSERT_TRUE(lock_orders.init());
  constexpr std::uint32_t kThreads = 4, kPairs = 100;
  std::vector<ThreadBlock*> blocks;
  for (std::uint32_t i = 0; i < kThreads; ++i) {
    blocks.push_back(threads_.acquire());
    blocks.back()->id = next_thread_++;
  }
  std::vector<std::thread> threads;
  for (ThreadBlock* block : blocks)
    threads.emplace_back([block] {
      for (std::uint64_t i = 1; i <= kPairs; ++i) {
        took_lock(*block, Call::mutex_lock, i * 128, nullptr, Taking::waiting);
        took_lock(*block, Call::mutex_lock, i * 128 + 64, nullptr, Taking::waiting);
        gave_lock(block->locks, i * 128 + 64);
        gave_lock(block->locks, i * 128);
      }
    });
  for (std::thread& thread : threads) thread.join();
  ASSERT_EQ(lock_orders.count(), kThreads * kPairs);
  for (std::uint32_t i = 0; i < lock_orders.count(); ++i) EXPECT_EQ(lock_orders.at(i).taken, lock_orders.at(i).held + 64);
}

TEST(Contended, HoldersLearnSinceWhenOthersWait) {
  auto contended = std::make_unique<Contended>();
  ASSERT_TRUE(contended->init());
  EXPECT_FALSE(contended->waited_for(kA));
  contended->begin_wait(kA, 100);
  contended->begin_wait(kA, 150);
  EXPECT_TRUE(contended->waited_for(kA));
  EXPECT_EQ(contended->hand_over(kA, 200), 100u);
  contended->end_wait(kA);
  EXPECT_EQ(contended->hand_over(kA, 300), 200u) << "the second has waited for the second holder since the first went";
  contended->end_wait(kA);
  EXPECT_FALSE(contended->waited_for(kA));
  contended->begin_wait(kA, 1000);
  EXPECT_EQ(contended->hand_over(kA, 1100), 1000u);
}

TEST(Contended, WhoGivesOnWhatHeWaitedForIsTold) {
  auto contended = std::make_unique<Contended>();
  ASSERT_TRUE(contended->init());
  constexpr std::uint64_t kLock = 0x1000, kWork = 0x2000;
  for (const std::uint64_t word : {kLock, kWork}) {
    contended->begin_wait(word, 1);
    contended->note_waiter(word, 5);
    contended->end_wait(word);
    for (int i = 0; i < 3; ++i) contended->note_giver(word, 6);  // has never waited
  }
  EXPECT_EQ(contended->given_on_by_waiters(kLock), 0u);
  contended->note_giver(kLock, 5);
  EXPECT_EQ(contended->given_on_by_waiters(kLock), 1u);
  EXPECT_EQ(contended->given_on_by_waiters(kWork), 0u);
  EXPECT_EQ(contended->given_on_by_waiters(0x3000), 0u) << "never seen";
}

TEST(Contended, OneOfTwoThatFallTogetherIsNotLookedAt) {
  auto contended = std::make_unique<Contended>();
  ASSERT_TRUE(contended->init());
  contended->begin_wait(kA, 100);
  std::uint64_t other = kA;  // the same place in a table of 1024
  do other += 64;
  while (static_cast<std::uint32_t>(other * 0x9e3779b97f4a7c15u >> 54) != static_cast<std::uint32_t>(kA * 0x9e3779b97f4a7c15u >> 54));
  contended->begin_wait(other, 110);
  EXPECT_FALSE(contended->waited_for(other));
  EXPECT_EQ(contended->hand_over(other, 200), 0u);
  contended->end_wait(other);
  EXPECT_TRUE(contended->waited_for(kA));
  contended->end_wait(kA);
  contended->begin_wait(other, 300);
  EXPECT_TRUE(contended->waited_for(other));
}

}  // namespace
}  // namespace tailback::capture
