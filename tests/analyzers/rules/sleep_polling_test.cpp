// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::Severity;
using analyzers::sleep_polling;
using trace::Call;
using ::testing::HasSubstr;

void sleeps(TraceBuilder& builder, std::uint64_t thread, const char* where, double count, double each, double seconds) {
  builder.calls({.thread = thread, .call = Call::sleep, .stack = builder.stack({"main", where}), .calls = count, .each = each, .to = seconds});
}

TEST(SleepPolling, AThreadThatOutsleepsTheWorkOfOthersIsHigh) {
  TraceBuilder builder;
  sleeps(builder, 1, "wait_for_result", 380, 0.010, 4);
  const auto worker = builder.thread({.name = "worker", .start_routine = "work"});
  builder.run(1, 0, 4, builder.stack({"main"}), {.busy = 0.004}).run(worker, 0, 4, builder.stack({"work"}), {.busy = 0.5});
  builder.calls({.thread = worker, .call = Call::cond_wait, .object = 0x10, .stack = builder.stack({"work"}), .calls = 190, .each = 0.0105, .to = 4});
  const auto result = sleep_polling(*model_of(builder.finish(4)));
  ASSERT_EQ(result.findings.size(), 1u);
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.severity, Severity::high);
  EXPECT_EQ(finding.culprit.function, "wait_for_result");
  EXPECT_NEAR(finding.gain.fraction, (3.8 - 2.0) / 4, 0.01);
  EXPECT_NEAR(evidence_number(finding, "delay of each event, mean"), 0.005, 1e-4);
  EXPECT_THAT(finding.advice[1], HasSubstr("5 ms"));
}

TEST(SleepPolling, WhoWorksAfterEachSleepPacesItself) {
  TraceBuilder builder;
  sleeps(builder, 1, "next_request", 380, 0.010, 4);
  const auto worker = builder.thread({.name = "worker", .start_routine = "work"});
  builder.run(1, 0, 4, builder.stack({"main", "answer"}), {.busy = 0.04}).run(worker, 0, 4, builder.stack({"work"}), {.busy = 0.1});
  EXPECT_TRUE(sleep_polling(*model_of(builder.finish(4))).findings.empty());
}

// Sleeps of 10 ms in groups of `in_a_row`, between which the thread works for 10 ms and hands on work.
analyzers::RuleResult between_work(std::uint64_t in_a_row) {
  TraceBuilder builder;
  const auto worker = builder.thread({.name = "worker", .start_routine = "work"});
  const std::uint64_t each = 10'000'000, period = (in_a_row + 1) * each, rounds = 4'000'000'000 / period;
  const auto sleeping = builder.stack({"main", "settle", "wait_for_result"});
  const double share = 1.0 / static_cast<double>(in_a_row + 1);
  builder.run(1, 0, 4, builder.stack({"main", "settle"}), {.busy = share}).run(worker, 0, 4, builder.stack({"work"}), {.busy = 0.2});
  builder.calls({.call = Call::sleep, .stack = sleeping, .calls = static_cast<double>(rounds * in_a_row), .each = 0.01, .to = 4});
  builder.calls({.call = Call::cond_signal, .object = 0x10, .stack = builder.stack({"main", "settle"}), .calls = static_cast<double>(rounds), .each = 1e-6, .to = 4});
  for (std::uint64_t round = 0; round < rounds; ++round)
    for (std::uint64_t i = 0; i < in_a_row; ++i)
      builder.add(trace::CallEvent{.t = round * period + i * (each + 20'000), .ns = each, .thread = 1, .call = static_cast<std::uint64_t>(Call::sleep), .stack = sleeping});
  return sleep_polling(*model_of(builder.finish(4)));
}

TEST(SleepPolling, WhoSleepsAgainInVainPollsWhateverItDoesBetweenItsWaits) {
  const auto result = between_work(3);
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].culprit.function, "wait_for_result");
  EXPECT_EQ(result.findings[0].severity, Severity::high);
  EXPECT_TRUE(between_work(1).findings.empty());
}

// Hands on work, or answers, within 20 us after each sleep.
TEST(SleepPolling, WhoHandsOnWorkBetweenShortSleepsIsNoPoller) {
  for (const Call step : {Call::cond_signal, Call::send}) {
    TraceBuilder builder;
    const auto worker = builder.thread({.name = "worker", .start_routine = "work"});
    const auto sleeping = builder.stack({"main", "feed", "pause"});
    builder.run(1, 0, 4, builder.stack({"main", "feed"}), {.busy = 0.02}).run(worker, 0, 4, builder.stack({"work"}), {.busy = 0.5});
    builder.calls({.call = Call::sleep, .stack = sleeping, .calls = 390, .each = 0.01, .to = 4});
    builder.calls({.call = step, .object = 0x10, .stack = builder.stack({"main", "feed"}), .calls = 390, .each = 1e-6, .to = 4});
    for (std::uint64_t i = 0; i < 390; ++i) {
      builder.add(trace::CallEvent{.t = i * 10'020'000, .ns = 10'000'000, .thread = 1, .call = static_cast<std::uint64_t>(Call::sleep), .stack = sleeping});
      if (step == Call::cond_signal) builder.add(trace::Wake{.t = i * 10'020'000 + 10'010'000, .thread = 1, .call = static_cast<std::uint64_t>(step), .object = 0x10});
    }
    EXPECT_TRUE(sleep_polling(*model_of(builder.finish(4))).findings.empty()) << trace::name_of(step);
  }
}

TEST(SleepPolling, SleepsUntilASetMomentAreASchedule) {
  TraceBuilder builder;
  builder.thread({.name = "other"});
  builder.calls({.call = Call::sleep_until, .stack = builder.stack({"main", "serve_at_rate"}), .calls = 380, .each = 0.010, .to = 4});
  EXPECT_TRUE(sleep_polling(*model_of(builder.finish(4))).findings.empty());
}

TEST(SleepPolling, WhoAnswersAfterEachSleepIsNoPoller) {
  for (const Call step : {Call::send, Call::recv, Call::cond_wait, Call::wake_nobody}) {
    TraceBuilder builder;
    builder.thread({.name = "other"});
    sleeps(builder, 1, "check_password", 380, 0.010, 4);
    builder.calls({.call = step, .object = 0x10, .stack = builder.stack({"main", "answer"}), .calls = 380, .each = 1e-6, .to = 4});
    EXPECT_TRUE(sleep_polling(*model_of(builder.finish(4))).findings.empty());
  }
}

TEST(SleepPolling, ChecksThatComeBackEmptyTellHowManyWaitsThereWere) {
  TraceBuilder builder;
  sleeps(builder, 1, "await_child", 300, 0.010, 4);
  builder.calls({.call = Call::wait_child, .stack = builder.stack({"main", "await_child"}), .calls = 400, .each = 2e-6, .empty = 300, .to = 4});
  const auto result = sleep_polling(*model_of(builder.finish(4)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_NEAR(result.findings[0].gain.fraction, 100 * 0.005 / 4, 0.005);
  EXPECT_NEAR(result.findings[0].gain.high, 100 * 0.010 / 4, 0.005);
  EXPECT_THAT(result.findings[0].advice[0], HasSubstr("waitpid"));
}

TEST(SleepPolling, ThreadsThatPollAtOnePlaceAreOneSuggestion) {
  TraceBuilder builder;
  for (int i = 0; i < 3; ++i) {
    const auto worker = builder.thread({.name = "worker-" + std::to_string(i)});
    sleeps(builder, worker, "next_task", 700, 0.005, 4);
  }
  const auto result = sleep_polling(*model_of(builder.finish(4)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(evidence_text(result.findings[0], "threads"), "3 threads");
  EXPECT_EQ(evidence_number(result.findings[0], "sleeps"), 2100);
  EXPECT_NEAR(result.findings[0].gain.fraction, 0.875, 0.01);
}

TEST(SleepPolling, APauseInTheOnlyThreadIsNoPolling) {
  TraceBuilder builder;
  sleeps(builder, 1, "frame", 240, 0.016, 4);
  builder.calls({.call = Call::write, .object = builder.file("/dev/fb"), .calls = 240, .each = 10e-6, .to = 4});
  const auto result = sleep_polling(*model_of(builder.finish(4)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.fine, HasSubstr("240 sleeps"));
}

TEST(SleepPolling, ASleeperWhileOthersWorkAllTheTimeHoldsNothingUp) {
  TraceBuilder builder;
  sleeps(builder, 1, "progress", 100, 0.038, 4);
  const auto worker = builder.thread({.name = "worker"});
  builder.run(worker, 0, 4, builder.stack({"work"}), {.busy = 1});
  EXPECT_TRUE(sleep_polling(*model_of(builder.finish(4))).findings.empty());
}

TEST(SleepPolling, HousekeepingBesideAnEventLoopIsAtMostLow) {
  TraceBuilder builder;
  builder.calls({.call = Call::epoll_wait, .stack = builder.stack({"main", "loop"}), .calls = 100, .each = 0.039, .to = 4});
  const auto timer = builder.thread({.name = "timer"});
  sleeps(builder, timer, "tick", 100, 0.038, 4);
  EXPECT_TRUE(sleep_polling(*model_of(builder.finish(4))).findings.empty());
  TraceBuilder restless;
  restless.calls({.call = Call::epoll_wait, .stack = restless.stack({"main", "loop"}), .calls = 100, .each = 0.039, .to = 4});
  const auto fast = restless.thread({.name = "timer"});
  sleeps(restless, fast, "tick", 3500, 0.001, 4);
  const auto result = sleep_polling(*model_of(restless.finish(4)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].severity, Severity::low);
  EXPECT_EQ(incomplete(result.findings[0]), "");
}

TEST(SleepPolling, ASleepASecondIsASchedule) {
  TraceBuilder builder;
  builder.thread({.name = "worker"});
  sleeps(builder, 1, "report", 30, 0.99, 30);
  EXPECT_TRUE(sleep_polling(*model_of(builder.finish(30))).findings.empty());
}

TEST(SleepPolling, WithoutRecordsOfCallsItIsNotApplicable) {
  EXPECT_FALSE(sleep_polling(*model_of(TraceBuilder().finish(1))).not_applicable.empty());
}

}  // namespace
}  // namespace tailback::testing
