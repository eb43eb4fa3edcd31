// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::cpu_load_imbalance;
using analyzers::Severity;
using trace::Call;
using ::testing::HasSubstr;

// Threads of one kind that begin together and end when their work is done.
TraceBuilder split(const std::vector<double>& work, bool end_when_done = true, unsigned cpus = 8) {
  TraceBuilder builder(cpus);
  const double longest = *std::max_element(work.begin(), work.end());
  for (const double seconds : work) {
    const auto thread = builder.thread({.name = "part", .start_routine = "do_part", .creation_stack = {"main", "split_work"}});
    builder.run(thread, 0, seconds, builder.stack({"do_part", "convolve"}));
    builder.end_thread(thread, end_when_done ? seconds : longest);
  }
  return builder;
}

TEST(CpuLoadImbalance, TheLastOfUnevenThreadsIsHigh) {
  const auto result = cpu_load_imbalance(*model_of(split({4, 1, 1, 1}).finish(4)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_EQ(result.findings[0].severity, Severity::high);
  EXPECT_EQ(result.findings[0].culprit.function, "convolve");
  EXPECT_NEAR(result.findings[0].gain.fraction, (4 - 1.75) / 4, 0.03);
  EXPECT_EQ(result.findings[0].stacks.back().role, "creator");
}

TEST(CpuLoadImbalance, AlsoWhenTheOthersWaitAtABarrier) {
  EXPECT_EQ(cpu_load_imbalance(*model_of(split({4, 1, 1, 1}, false).finish(4))).findings.size(), 1u);
}

TEST(CpuLoadImbalance, AnEvenSplitIsFine) {
  const auto result = cpu_load_imbalance(*model_of(split({2, 2.1, 1.9, 2}).finish(2.1)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_FALSE(result.fine.empty());
}

TEST(CpuLoadImbalance, MoreThreadsThanCpusAreJudgedByWhatTheCpusCouldDo) {
  TraceBuilder builder(2);
  const std::vector<std::pair<double, double>> busy_waiting = {{2, 0}, {1, 1}, {1, 1}};  // 4 CPU seconds on 2 CPUs in 2 seconds: nothing lost
  for (const auto& [busy, waiting] : busy_waiting) {
    const auto thread = builder.thread({.name = "part", .start_routine = "do_part"});
    builder.run(thread, 0, 2, builder.stack({"do_part"}), {.busy = busy / 2, .waiting = waiting / 2});
    builder.end_thread(thread, 2);
  }
  EXPECT_TRUE(cpu_load_imbalance(*model_of(builder.finish(2))).findings.empty());
}

TEST(CpuLoadImbalance, PoolThreadsThatMerelyDifferAreNoImbalance) {
  TraceBuilder builder(4);
  for (const double busy : {0.9, 0.3, 0.2, 0.1}) {
    const auto thread = builder.thread({.name = "pool", .start_routine = "serve"});
    builder.run(thread, 0, 5, builder.stack({"serve", "handle"}), {.busy = busy});
  }
  EXPECT_TRUE(cpu_load_imbalance(*model_of(builder.finish(5))).findings.empty());
}

TEST(CpuLoadImbalance, ThreadsThatStartOneAfterTheOtherShareNothing) {
  TraceBuilder builder(4);
  for (int i = 0; i < 3; ++i) {
    const double start = i, end = i == 2 ? 6 : i + 1;
    const auto thread = builder.thread({.name = "job", .start = start, .start_routine = "job"});
    builder.run(thread, start, end, builder.stack({"job"}));
    builder.end_thread(thread, end);
  }
  EXPECT_TRUE(cpu_load_imbalance(*model_of(builder.finish(6))).findings.empty());
}

TEST(CpuLoadImbalance, AShortUnevenPhaseOfALongRunIsLowAtMost) {
  auto builder = split({2, 0.5});
  builder.run(1, 2, 20, builder.stack({"main", "rest"}));
  for (const auto& finding : cpu_load_imbalance(*model_of(builder.finish(20))).findings) EXPECT_LE(finding.severity, Severity::low);
}

// The main thread and two others, where the main thread works to the end and they do not.
analyzers::RuleResult with_main(const std::vector<std::string>& of_main, const std::vector<std::string>& of_others) {
  TraceBuilder builder(4);
  builder.run(1, 0, 4, builder.stack(of_main));
  for (int i = 0; i < 2; ++i) {
    const auto thread = builder.thread({.name = "part", .start_routine = of_others.front(), .creation_stack = {"main", "start"}});
    builder.run(thread, 0, 1, builder.stack(of_others));
    builder.end_thread(thread, 4);
  }
  return cpu_load_imbalance(*model_of(builder.finish(4)));
}

TEST(CpuLoadImbalance, TheMainThreadTakesPartWhereItDoesWhatTheOthersBeginWith) {
  EXPECT_EQ(with_main({"main", "start", "body", "mix"}, {"body", "mix"}).findings.size(), 1u);
}

TEST(CpuLoadImbalance, TheMainThreadTakesNoPartWhereItMerelyCallsWhatTheOthersCall) {
  EXPECT_TRUE(with_main({"main", "produce", "mix"}, {"consume", "mix"}).findings.empty());
}

// Rounds of a parallel loop in which main takes part: one thread works all the time, the other half of it.
TraceBuilder rounds(double of_main, double of_other, double of_main_else = 0) {
  TraceBuilder builder(4);
  const auto body = builder.stack({"main", "loop_body", "row"});
  if (of_main > 0) builder.run(1, 0, 4, body, {.busy = of_main});
  if (of_main_else > 0) builder.run(1, 0, 4, builder.stack({"main", "read_input"}), {.busy = of_main_else});
  const auto other = builder.thread({.name = "team", .start_routine = "loop_body", .creation_stack = {"main", "start"}});
  builder.run(other, 0, 4, builder.stack({"loop_body", "row"}), {.busy = of_other});
  builder.calls({.call = Call::read, .object = builder.file("/data/in"), .calls = 10, .each = 1e-5, .to = 4});  // calls are recorded
  return builder;
}

TEST(CpuLoadImbalance, RoundAfterRoundTheSameThreadHasMore) {
  for (const bool main_has_more : {true, false}) {
    const auto result = cpu_load_imbalance(*model_of((main_has_more ? rounds(1, 0.5) : rounds(0.5, 1)).finish(4)));
    ASSERT_EQ(result.findings.size(), 1u) << main_has_more;
    EXPECT_EQ(incomplete(result.findings[0]), "");
    EXPECT_THAT(result.findings[0].title, HasSubstr("round after round"));
    EXPECT_NEAR(result.findings[0].gain.fraction, 0.25, 0.02);
  }
}

TEST(CpuLoadImbalance, WhatMainDoesAloneBetweenRoundsIsNoImbalance) { EXPECT_TRUE(cpu_load_imbalance(*model_of(rounds(0.55, 0.5, 0.45).finish(4))).findings.empty()); }

TEST(CpuLoadImbalance, ThreadsThatMeetAtABarrier) {
  for (const Call waits_in : {Call::barrier_wait, Call::recv}) {
    TraceBuilder builder(4);
    const std::uint64_t object = waits_in == Call::recv ? builder.peer("10.0.0.1:80") : 0x500;
    for (const double busy : {1.0, 0.4, 0.4}) {
      const auto thread = builder.thread({.name = "part", .start_routine = "do_part", .creation_stack = {"main", "split_work"}});
      builder.run(thread, 0, 4, builder.stack({"do_part", "convolve"}), {.busy = busy});
      builder.calls({.thread = thread, .call = waits_in, .object = object, .stack = builder.stack({"do_part", "meet"}), .calls = 100, .each = std::max(1e-6, (1 - busy) * 4 / 100), .to = 4});
    }
    EXPECT_EQ(cpu_load_imbalance(*model_of(builder.finish(4))).findings.size(), waits_in == Call::barrier_wait ? 1u : 0u);
  }
}

TEST(CpuLoadImbalance, WithoutLikeThreadsItIsNotApplicable) {
  TraceBuilder builder;
  builder.run(1, 0, 2, builder.stack({"main"}));
  EXPECT_THAT(cpu_load_imbalance(*model_of(builder.finish(2))).not_applicable, HasSubstr("same kind"));
}

}  // namespace
}  // namespace tailback::testing
