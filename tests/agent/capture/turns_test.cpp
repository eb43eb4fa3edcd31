// SPDX-License-Identifier: Apache-2.0
// Turns of event loops: what passes between two waits of one loop, whatever other waits lie between.
#include <gtest/gtest.h>

#include <vector>

#include "agent/capture/record_call.h"
#include "agent/capture/sampling.h"

namespace tailback::capture {
namespace {

constexpr std::uint64_t kLoop = 7, kOther = 9;
constexpr std::uint64_t kMs = 1'000'000;

class TurnsTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(code_.init("/bin/program") && stacks_.init(4096) && unwinder_.init(code_, stacks_) && threads_.init());
    sampling.unwinder = &unwinder_;
    tick_clock.init(false);  // ticks are nanoseconds
    call_epoch = 0;
    thread_ = threads_.acquire();
    ASSERT_NE(thread_, nullptr);
  }
  // As the hook does it: the wait of `loop` from `begin` to `end`.
  void wait(std::uint64_t loop, std::uint64_t begin, std::uint64_t end, std::uint32_t ready, std::int64_t timeout_ms = -1) {
    record_turn(*thread_, {Call::epoll_wait, loop, timeout_ms}, begin, end, ready);
    record_call(*thread_, {Call::epoll_wait, 0, begin, end, 0, false, ready == 0});
    begin_turn(thread_->calls.turns, loop);
  }
  const ChannelSums* sums_of(Call call, std::uint64_t loop) const {
    for (const ChannelSums& sums : thread_->calls.sets[0].channels)
      if (sums.call == call && sums.object == loop) return &sums;
    return nullptr;
  }
  std::vector<CallEvent> events() {
    std::vector<CallEvent> all;
    for (CallEvent event; thread_->calls.events.pop(event);) all.push_back(event);
    return all;
  }

  CodeMap code_;
  StackTable stacks_;
  Unwinder unwinder_;
  ThreadTable threads_;
  ThreadBlock* thread_ = nullptr;
};

TEST_F(TurnsTest, ATurnIsFromOneWaitToTheNext) {
  wait(kLoop, 1 * kMs, 2 * kMs, 3);
  EXPECT_EQ(sums_of(Call::loop_turn, kLoop), nullptr) << "before the first wait there was none";
  wait(kLoop, 3 * kMs, 9 * kMs, 0);
  wait(kLoop, 10 * kMs, 11 * kMs, 5);
  const ChannelSums* sums = sums_of(Call::loop_turn, kLoop);
  ASSERT_NE(sums, nullptr);
  EXPECT_EQ(sums->calls, 2u);
  EXPECT_EQ(sums->ns, 2 * kMs);
  EXPECT_EQ(sums->bytes, 3u);
  EXPECT_EQ(sums->empty, 1u);
  EXPECT_EQ(sums->latencies[latency_bucket(kMs)], 2u);
  EXPECT_EQ(sums->sizes[size_bucket(3)], 1u);
  EXPECT_TRUE(events().empty());
}

TEST_F(TurnsTest, ALongTurnIsToldWithWhatBlockedInIt) {
  wait(kLoop, 1 * kMs, 20 * kMs, 2);
  record_call(*thread_, {Call::fsync, 3, 21 * kMs, 51 * kMs});
  record_call(*thread_, {Call::fsync, 3, 52 * kMs, 62 * kMs});
  record_call(*thread_, {Call::write, 4, 62 * kMs, 62 * kMs + 100});
  wait(kLoop, 80 * kMs, 80 * kMs + 900, 6);
  const auto told = events();
  ASSERT_GE(told.size(), 2u);
  EXPECT_EQ(told[0].kind, CallEventKind::turn);
  EXPECT_EQ(told[0].call, Call::epoll_wait);
  EXPECT_EQ(told[0].object, kLoop);
  EXPECT_NEAR(static_cast<double>(told[0].t), 20.0 * kMs, 1e5);
  EXPECT_EQ(told[0].ns, 60 * kMs);
  EXPECT_EQ(told[0].bytes & 0xffffffffu, 2u);
  EXPECT_EQ(told[0].bytes >> 32, 6u) << "found ready at once";
  std::uint64_t calls = 0, ns = 0;
  for (std::size_t i = 1; i < told.size(); ++i) {
    EXPECT_EQ(told[i].kind, CallEventKind::turn_part);
    EXPECT_EQ(told[i].call, Call::fsync) << "the wait before it is no part of it, nor what did not block";
    EXPECT_EQ(told[i].object, 3u);
    EXPECT_EQ(told[i].t, told[0].t);
    calls += told[i].bytes, ns += told[i].ns;
  }
  EXPECT_EQ(calls, 2u);
  EXPECT_EQ(ns, 40 * kMs);
}

TEST_F(TurnsTest, NobodyWaitedWhereTheNextWaitHadToWait) {
  wait(kLoop, 1 * kMs, 2 * kMs, 1);
  wait(kLoop, 50 * kMs, 60 * kMs, 4);
  const auto told = events();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].bytes >> 32, 0u);
}

TEST_F(TurnsTest, AWaitInsideAHandlerIsPartOfTheTurn) {
  wait(kLoop, 1 * kMs, 2 * kMs, 1);
  wait(kOther, 3 * kMs, 33 * kMs, 1);
  wait(kLoop, 34 * kMs, 35 * kMs, 1);
  const ChannelSums* sums = sums_of(Call::loop_turn, kLoop);
  ASSERT_NE(sums, nullptr);
  EXPECT_EQ(sums->ns, 32 * kMs);
  const auto told = events();
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[1].call, Call::epoll_wait);
  EXPECT_EQ(told[1].ns, 30 * kMs);
}

TEST_F(TurnsTest, TimeOutsThatHadPassedAreLate) {
  wait(kLoop, 0, 13 * kMs, 0, 10);            // woken 3 ms after it was due
  wait(kLoop, 14 * kMs, 15 * kMs, 1, 100);    // descriptors came first, and kept the loop until 6 ms after it was due
  wait(kLoop, 120 * kMs, 121 * kMs, 1, 100);
  wait(kLoop, 122 * kMs, 123 * kMs, 1);       // not due yet
  const ChannelSums* late = sums_of(Call::loop_late, kLoop);
  ASSERT_NE(late, nullptr);
  EXPECT_EQ(late->calls, 2u);
  EXPECT_EQ(late->ns, 9 * kMs);
  EXPECT_EQ(late->longest_ns, 6 * kMs);
}

TEST_F(TurnsTest, MoreWaitsThanPlacesOnlyForgetTheOldest) {
  for (std::uint64_t round = 0; round < 50; ++round)
    for (std::uint64_t loop = 1; loop <= 6; ++loop) wait(loop, (round * 6 + loop) * 2 * kMs, (round * 6 + loop) * 2 * kMs + kMs, 1);
  EXPECT_LE(thread_->calls.turns.used, std::size(thread_->calls.turns.parts));
  EXPECT_FALSE(thread_->calls.lost);
}

TEST_F(TurnsTest, ANewThreadHasNoTurns) {
  wait(kLoop, 1 * kMs, 2 * kMs, 1);
  threads_.release(thread_);
  thread_ = threads_.acquire();
  for (auto& set : thread_->calls.sets) set = {};
  wait(kLoop, 900 * kMs, 901 * kMs, 1);
  EXPECT_EQ(sums_of(Call::loop_turn, kLoop), nullptr);
}

}  // namespace
}  // namespace tailback::capture
