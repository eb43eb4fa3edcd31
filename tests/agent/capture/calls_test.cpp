// SPDX-License-Identifier: Apache-2.0
// Sums of calls: exact for each call and object, by stack for those that blocked, sampled without bias for the rest.
#include "agent/capture/calls.h"

#include <gtest/gtest.h>

#include <memory>

#include "agent/capture/record_call.h"
#include "agent/capture/sampling.h"

namespace tailback::capture {
namespace {

class CallsTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(code_.init("/bin/program") && stacks_.init(4096) && unwinder_.init(code_, stacks_) && threads_.init());
    sampling.unwinder = &unwinder_;
    tick_clock.init(false);  // ticks are nanoseconds
    call_epoch = 0;
    thread_ = threads_.acquire();
    ASSERT_NE(thread_, nullptr);
  }
  void record(Call call, std::uint64_t object, std::uint64_t ns, std::uint64_t bytes = 0, bool error = false, bool empty = false) {
    record_call(*thread_, {call, object, 1000, 1000 + ns, bytes, error, empty});
  }
  const ChannelSums* sums_of(Call call, std::uint64_t object, std::uint32_t set = 0) const {
    for (const ChannelSums& sums : thread_->calls.sets[set].channels)
      if (sums.call == call && sums.object == object) return &sums;
    return nullptr;
  }
  template <class Figure>
  std::uint64_t all_stacks(Figure figure) const {
    std::uint64_t sum = 0;
    for (const StackSums& sums : thread_->calls.sets[0].stacks) sum += figure(sums);
    return sum;
  }

  CodeMap code_;
  StackTable stacks_;
  Unwinder unwinder_;
  ThreadTable threads_;
  ThreadBlock* thread_ = nullptr;
};

TEST_F(CallsTest, SumsAreExact) {
  record(Call::read, 7, 100, 10);
  record(Call::read, 7, 300, 20);
  record(Call::read, 7, 50'000, 0, false, true);
  record(Call::read, 8, 100, 1, true);
  const ChannelSums* sums = sums_of(Call::read, 7);
  ASSERT_NE(sums, nullptr);
  EXPECT_EQ(sums->calls, 3u);
  EXPECT_EQ(sums->empty, 1u);
  EXPECT_EQ(sums->errors, 0u);
  EXPECT_EQ(sums->ns, 50'400u);
  EXPECT_EQ(sums->bytes, 30u);
  EXPECT_EQ(sums->longest_ns, 50'000u);
  EXPECT_EQ(sums->blocked_calls, 1u);
  EXPECT_EQ(sums->blocked_ns, 50'000u);
  EXPECT_EQ(sums_of(Call::read, 8)->errors, 1u);
  EXPECT_EQ(sums_of(Call::write, 7), nullptr);
}

TEST_F(CallsTest, BucketsHoldWhatTheySay) {
  EXPECT_EQ(latency_bucket(0), 0u);
  EXPECT_EQ(latency_bucket(63), 0u);
  EXPECT_EQ(latency_bucket(64), 1u);
  EXPECT_EQ(latency_bucket(127), 1u);
  EXPECT_EQ(latency_bucket(1u << 20), 15u);
  EXPECT_EQ(latency_bucket(~0ull), ChannelSums::kLatencies - 1);
  EXPECT_EQ(size_bucket(0), 0u);
  EXPECT_EQ(size_bucket(1), 1u);
  EXPECT_EQ(size_bucket(4096), 13u);
  EXPECT_EQ(size_bucket(~0ull), ChannelSums::kSizes - 1);
}

TEST_F(CallsTest, EachCallThatBlockedHasItsStackAndInAWindowItsEvent) {
  record(Call::fsync, 3, kBlockedNs);
  detail_span.begin = 0, detail_span.end = ~0ull;
  for (int i = 0; i < 9; ++i) record(Call::fsync, 3, kBlockedNs);
  detail_span.begin = 0, detail_span.end = 0;
  EXPECT_EQ(all_stacks([](const StackSums& sums) { return sums.blocked_calls; }), 10u);
  EXPECT_EQ(all_stacks([](const StackSums& sums) { return sums.blocked_ns; }), 10 * kBlockedNs);
  CallEvent event;
  int events = 0;
  while (thread_->calls.events.pop(event)) {
    ++events;
    EXPECT_EQ(event.ns, kBlockedNs);
  }
  EXPECT_EQ(events, 9) << "inside detail windows only";
}

TEST_F(CallsTest, OthersAreSampledWithoutBias) {
  constexpr std::uint64_t kCalls = 200'000;
  for (std::uint64_t i = 0; i < kCalls; ++i) record(Call::write, 3, i % 2 ? 100 : 300, i % 2 ? 1 : 3);  // in step with an even period
  const auto calls = static_cast<double>(all_stacks([](const StackSums& sums) { return sums.calls; }));
  const auto bytes = static_cast<double>(all_stacks([](const StackSums& sums) { return sums.bytes; }));
  EXPECT_NEAR(calls, kCalls, 0.05 * kCalls);
  EXPECT_NEAR(bytes, 2.0 * kCalls, 0.1 * kCalls);
  EXPECT_EQ(sums_of(Call::write, 3)->calls, kCalls);
}

TEST_F(CallsTest, AThreadsFirstCallStandsForItself) {
  record(Call::write, 3, 100, 7);
  EXPECT_EQ(all_stacks([](const StackSums& sums) { return sums.calls; }), 1u);
  EXPECT_EQ(all_stacks([](const StackSums& sums) { return sums.bytes; }), 7u);
}

TEST_F(CallsTest, WhatIsDoneSeldomHasItsStack) {
  for (int i = 0; i < 40; ++i) record(Call::read, 3, 100);  // fewer than are sampled one of
  record(Call::write, 4, 100, 7);
  record_wake(*thread_, Call::cond_signal, 0x1000);
  const auto calls_of = [&](Call call) { return all_stacks([&](const StackSums& sums) { return sums.call == call ? sums.calls : 0; }); };
  EXPECT_EQ(calls_of(Call::write), 1u);
  EXPECT_EQ(calls_of(Call::cond_signal), 1u);
}

TEST_F(CallsTest, BusyThreadsAreSampledMoreSparselyFromEpochToEpoch) {
  std::uint64_t before = 0, stands_for = 0;
  const auto weights = [&] { return all_stacks([](const StackSums& sums) { return sums.calls; }); };
  std::uint32_t dense = 0, sparse = 0;
  for (std::uint32_t epoch = 0; epoch < 4; epoch += 2) {  // even ones, whose sets are the same
    call_epoch = epoch;
    for (int i = 0; i < 50'000; ++i) {
      record(Call::write, 3, 100);
      stands_for = weights() - before;
      before += stands_for;
      dense += stands_for == 64;
      sparse += stands_for == 512;
    }
  }
  EXPECT_NEAR(dense, 2 * 63, 2);
  EXPECT_NEAR(sparse, 2 * (50'000 - 63 * 64) / 512, 20);
}

TEST_F(CallsTest, EpochsTakeTurns) {
  record(Call::read, 1, 10);
  call_epoch = 1;
  record(Call::read, 1, 20);
  EXPECT_EQ(sums_of(Call::read, 1, 0)->ns, 10u);
  EXPECT_EQ(sums_of(Call::read, 1, 1)->ns, 20u);
  EXPECT_EQ(thread_->calls.dirty & 3u, 3u);
  EXPECT_EQ(thread_->calls.active, 0u);
}

TEST_F(CallsTest, MoreObjectsThanRoomLoseTheirNamesNotTheirTime) {
  constexpr std::uint64_t kObjects = 500;
  for (std::uint64_t object = 1; object <= kObjects; ++object) record(object % 2 ? Call::open : Call::close, object, 100, 3);
  std::uint64_t ns = 0, bytes = 0;
  for (const ChannelSums& sums : thread_->calls.sets[0].channels) ns += sums.ns, bytes += sums.bytes;
  EXPECT_EQ(ns, kObjects * 100);
  EXPECT_EQ(bytes, kObjects * 3);
  ASSERT_NE(sums_of(Call::close, 0), nullptr);
  EXPECT_EQ(thread_->calls.lost, sums_of(Call::close, 0)->calls + sums_of(Call::open, 0)->calls);
  EXPECT_GE(thread_->calls.lost, kObjects - CallSums::kChannels);
}

TEST_F(CallsTest, WhatBlocksKeepsItsNameAmongManyObjects) {
  constexpr std::uint64_t kConnections = 500, kFile = 1000;
  for (int round = 0; round < 2; ++round) {
    for (std::uint64_t object = 1; object <= kConnections; ++object) record(Call::read, object, 2'000);
    record(Call::fdatasync, kFile, 1'000'000);
  }
  const ChannelSums* sums = sums_of(Call::fdatasync, kFile);
  ASSERT_NE(sums, nullptr);
  EXPECT_EQ(sums->calls, 2u);
  EXPECT_EQ(sums->blocked_ns, 2'000'000u);
  std::uint64_t ns = 0;
  for (const ChannelSums& all : thread_->calls.sets[0].channels) ns += all.ns;
  EXPECT_EQ(ns, 2 * (kConnections * 2'000 + 1'000'000)) << "what gave its place away is told by its kind of call";
}

TEST_F(CallsTest, TheStackOfWhatBlocksFindsAPlace) {
  constexpr std::uint64_t kMany = 500;
  for (std::uint64_t object = 1; object <= kMany; ++object) record(Call::read, object, kBlockedNs);
  record(Call::fdatasync, 1000, 50 * kBlockedNs);
  std::uint64_t ns = 0, fdatasync = 0;
  for (const StackSums& sums : thread_->calls.sets[0].stacks) {
    ns += sums.blocked_ns;
    if (sums.call == Call::fdatasync && sums.object == 1000) fdatasync = sums.blocked_ns;
  }
  EXPECT_EQ(fdatasync, 50 * kBlockedNs);
  EXPECT_EQ(ns, (kMany + 50) * kBlockedNs);
}

TEST_F(CallsTest, KindsOfCallsBeyondThePlacesAreCountedAsLost) {
  constexpr Call kKinds[] = {Call::read, Call::pread, Call::recv, Call::write, Call::pwrite, Call::send, Call::open, Call::close,
                             Call::stat, Call::readdir, Call::unlink, Call::rename, Call::mkdir, Call::truncate};
  for (std::uint64_t object = 1; object <= 100; ++object) record(Call::sendfile, object, 100);
  std::uint64_t before = thread_->calls.lost, kept = 0, calls = 0;
  for (const Call kind : kKinds) record(kind, 1000, 100);
  EXPECT_EQ(thread_->calls.lost - before, std::size(kKinds));
  for (const ChannelSums& sums : thread_->calls.sets[0].channels) calls += sums.calls, kept += sums.call != Call::sendfile && sums.call != Call::none;
  EXPECT_EQ(kept, std::size(thread_->calls.sets[0].channels.places) - CallSums::kChannels - 1);
  EXPECT_EQ(calls, 100 + kept);
}

TEST_F(CallsTest, WakesAreCountedAndToldInsideAWindowOnly) {
  detail_span.begin = 0, detail_span.end = 0;
  record_wake(*thread_, Call::cond_signal, 0x1000);
  CallEvent event;
  EXPECT_FALSE(thread_->calls.events.pop(event));
  EXPECT_EQ(sums_of(Call::cond_signal, 0x1000)->calls, 1u);
  detail_span.begin = 0, detail_span.end = ~0ull;
  record_wake(*thread_, Call::cond_signal, 0x1000);
  detail_span.begin = 0, detail_span.end = 0;
  ASSERT_TRUE(thread_->calls.events.pop(event));
  EXPECT_EQ(event.ns, 0u);
  EXPECT_EQ(event.object, 0x1000u);
}

TEST_F(CallsTest, WakesThatMetNobodyLeaveRoomForOthers) {
  for (std::uint64_t object = 1; object <= 500; ++object) record_wake(*thread_, Call::wake_nobody, object << 6);
  for (std::uint64_t object = 1; object <= 8; ++object) record(Call::read, object, 100);
  EXPECT_EQ(thread_->calls.lost, 0u);
  std::uint32_t told = 0;
  for (const ChannelSums& sums : thread_->calls.sets[0].channels) told += sums.call == Call::wake_nobody;
  EXPECT_EQ(told, CallSums::kChannels / 4);
}

TEST_F(CallsTest, WhatWasWaitedForIsKnown) {
  EXPECT_FALSE(waited_for.may_hold(0x7f0000001000));
  waited_for.note(0x7f0000001000);
  EXPECT_TRUE(waited_for.may_hold(0x7f0000001000));
}

TEST(TickClock, KeepsToTheKernelsClock) {
  for (const bool counter : {false, true}) {
    TickClock clock;
    clock.init(counter);
    const std::uint64_t ticks = clock.now(), ns = monotonic_ns();
    while (monotonic_ns() - ns < 5'000'000) {
    }
    const std::uint64_t after = clock.now(), true_ns = monotonic_ns();
    clock.adjust();
    EXPECT_NEAR(static_cast<double>(clock.to_ns(after - ticks)), static_cast<double>(true_ns - ns), 200'000.0);
    EXPECT_NEAR(static_cast<double>(clock.monotonic_at(after)), static_cast<double>(true_ns), 200'000.0);
    EXPECT_NEAR(static_cast<double>(clock.to_ns(clock.from_ns(1'000'000))), 1e6, 1000.0);
  }
}

}  // namespace
}  // namespace tailback::capture
