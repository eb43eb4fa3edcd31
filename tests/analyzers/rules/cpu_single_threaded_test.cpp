// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::cpu_single_threaded;
using analyzers::Severity;
using trace::Call;
using ::testing::HasSubstr;

// One busy stage; `consumers` threads that work a little and wait the rest.
TraceBuilder stage_with_consumers(int consumers, double consumer_busy, double stage_busy = 0.98) {
  TraceBuilder builder(4);
  const auto stage = builder.thread({.name = "parser", .start_routine = "parse_all"});
  builder.run(stage, 0, 4, builder.stack({"parse_all", "parse_line"}), {.busy = stage_busy});
  for (int i = 0; i < consumers; ++i) {
    const auto consumer = builder.thread({.name = "store", .start_routine = "store_all"});
    builder.run(consumer, 0, 4, builder.stack({"store_all"}), {.busy = consumer_busy, .switches_per_second = 50});
  }
  return builder;
}

TEST(CpuSingleThreaded, ABusyStageWithWaitingConsumersIsHigh) {
  const auto result = cpu_single_threaded(*model_of(stage_with_consumers(3, 0.04).finish(4)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_EQ(result.findings[0].severity, Severity::high);
  EXPECT_EQ(result.findings[0].culprit.function, "parse_line");
  EXPECT_EQ(result.findings[0].gain.metric, "wall_time");
  EXPECT_NEAR(result.findings[0].gain.fraction, 0.86 * 0.75, 0.03);
  EXPECT_EQ(result.findings[0].gain.low, 0);
  EXPECT_EQ(evidence_number(result.findings[0], "threads that waited meanwhile"), 3);
}

// A stage that is always busy between one that brings it work and one that takes it on; `held`: the one in front waits for room.
Severity severity_of_stage(bool held) {
  constexpr std::uint64_t kFull = 0x100, kWork = 0x200;
  TraceBuilder builder(4);
  const auto stage = builder.thread({.name = "resample", .start_routine = "resample_all"});
  builder.run(stage, 0, 4, builder.stack({"resample_all", "resample"}));
  builder.run(1, 0, 4, builder.stack({"main", "decode"}), {.busy = 0.05, .switches_per_second = 200});
  builder.calls({.thread = 1, .call = Call::cond_wait, .object = held ? kFull : 0x300, .stack = builder.stack({"main", "push"}), .calls = 800, .each = 3.7 / 800, .to = 4});
  builder.calls({.thread = 1, .call = Call::wake_nobody, .object = kWork, .calls = 800, .each = 0, .to = 4});
  builder.calls({.thread = stage, .call = Call::cond_wait, .object = kWork, .stack = builder.stack({"resample_all", "pop"}), .calls = 2, .each = 1e-4, .to = 4});
  builder.calls({.thread = stage, .call = Call::cond_signal, .object = kFull, .calls = 800, .each = 0, .to = 4});
  const auto result = cpu_single_threaded(*model_of(builder.finish(4)));
  return result.findings.empty() ? Severity::info : result.findings[0].severity;
}

TEST(CpuSingleThreaded, AStageThatHoldsUpTheOneInFrontOfItIsMedium) { EXPECT_EQ(severity_of_stage(true), Severity::medium); }

TEST(CpuSingleThreaded, OneThatMerelyWorksBesideAnotherIsLow) { EXPECT_EQ(severity_of_stage(false), Severity::low); }

TEST(CpuSingleThreaded, ConsumersThatKeepUpWithWorkAreFine) {
  const auto result = cpu_single_threaded(*model_of(stage_with_consumers(3, 0.8).finish(4)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_FALSE(result.fine.empty());
}

TEST(CpuSingleThreaded, AStageThatItselfWaitsIsFine) {
  EXPECT_TRUE(cpu_single_threaded(*model_of(stage_with_consumers(3, 0.04, 0.5).finish(4))).findings.empty());
}

TEST(CpuSingleThreaded, OneThreadThatDoesAllTheWorkIsAFactAndStaysLow) {
  TraceBuilder builder;
  builder.run(1, 0, 3, builder.stack({"main", "encode"}), {.busy = 0.99});
  const auto result = cpu_single_threaded(*model_of(builder.finish(3)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].severity, Severity::low);
  EXPECT_THAT(result.findings[0].title, HasSubstr("one thread does all the work"));
  EXPECT_NEAR(result.findings[0].gain.fraction, 0.495, 0.02);
}

TEST(CpuSingleThreaded, SleepingHelperThreadsDoNotMakeItAStage) {
  TraceBuilder builder;
  builder.run(1, 0, 3, builder.stack({"main", "serve"}), {.busy = 0.99});
  for (int i = 0; i < 4; ++i) builder.thread({.name = "bio", .start_routine = "background"});
  const auto result = cpu_single_threaded(*model_of(builder.finish(3)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].severity, Severity::low);
}

TEST(CpuSingleThreaded, ThreadsThatReadAndWriteForItWaitByDesign) {
  TraceBuilder builder;
  const auto worker = builder.thread({.name = "worker", .start_routine = "compress_blocks"});
  builder.run(worker, 0, 3, builder.stack({"compress_blocks"}), {.busy = 0.98});
  for (const char* routine : {"read_blocks", "write_blocks"}) {
    const auto helper = builder.thread({.name = routine, .start_routine = routine});
    builder.run(helper, 0, 3, builder.stack({routine}), {.busy = 0.01, .switches_per_second = 100});
  }
  const auto result = cpu_single_threaded(*model_of(builder.finish(3)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].severity, Severity::low);
}

TEST(CpuSingleThreaded, ASecondStageThatDoesPartOfTheWorkIsMedium) {
  TraceBuilder builder;
  builder.run(1, 0, 3, builder.stack({"main", "parse"}), {.busy = 0.98});
  const auto second = builder.thread({.name = "index", .start_routine = "index_all"});
  builder.run(second, 0, 3, builder.stack({"index_all"}), {.busy = 0.2, .switches_per_second = 100});
  const auto result = cpu_single_threaded(*model_of(builder.finish(3)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].severity, Severity::medium);
}

TEST(CpuSingleThreaded, AThreadCrowdedOutByOtherProgramsStillCountsAsBusy) {
  TraceBuilder builder;
  builder.others_busy(0.5).run(1, 0, 3, builder.stack({"main", "encode"}), {.busy = 0.5, .waiting = 0.49});
  EXPECT_EQ(cpu_single_threaded(*model_of(builder.finish(3))).findings.size(), 1u);
}

TEST(CpuSingleThreaded, ASpinningThreadIsLeftToTheRuleForSpinning) {
  TraceBuilder builder;
  builder.define("sched_yield", {.module = "libc.so.6"});
  builder.run(1, 0, 3, builder.stack({"main", "wait", "sched_yield"}));
  EXPECT_TRUE(cpu_single_threaded(*model_of(builder.finish(3))).findings.empty());
}

TEST(CpuSingleThreaded, ThreadsThatWaitActivelyForItDoNoWork) {
  TraceBuilder builder(4);
  builder.define("sched_yield", {.module = "libc.so.6"});
  builder.run(1, 0, 4, builder.stack({"main", "assemble"}));
  for (int i = 0; i < 2; ++i) {
    const auto thread = builder.thread({.name = "team", .start_routine = "work"});
    builder.run(thread, 0, 3.4, builder.stack({"work", "wait_for_part", "sched_yield"}));
    builder.run(thread, 3.4, 4, builder.stack({"work", "solve"}));
    builder.end_thread(thread, 4);
  }
  const auto result = cpu_single_threaded(*model_of(builder.finish(4)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].culprit.function, "assemble");
  EXPECT_EQ(result.findings[0].severity, Severity::high);
}

TEST(CpuSingleThreaded, ThreadsThatWaitForTimeOrRequestsDoNotWaitForIt) {
  for (const trace::Call call : {trace::Call::sleep, trace::Call::epoll_wait}) {
    auto builder = stage_with_consumers(3, 0.04);
    for (std::uint64_t thread = 3; thread <= 5; ++thread)
      builder.calls({.thread = thread, .call = call, .stack = builder.stack({"store_all"}), .calls = 200, .each = 0.019, .to = 4});
    const auto result = cpu_single_threaded(*model_of(builder.finish(4)));
    for (const auto& finding : result.findings) EXPECT_LE(finding.severity, Severity::low) << trace::name_of(call);
  }
}

TEST(CpuSingleThreaded, WakesSaySoWhenTheOthersWaitForIt) {
  auto builder = stage_with_consumers(3, 0.04);
  for (std::uint64_t thread = 3; thread <= 5; ++thread)
    builder.calls({.thread = thread, .call = trace::Call::cond_wait, .object = 0x7700, .stack = builder.stack({"store_all"}), .calls = 200, .each = 0.019, .to = 4});
  for (std::uint64_t i = 0; i < 20; ++i) builder.add(trace::Wake{.t = i * kMillisecond, .thread = 2, .call = 81, .object = 0x7700});
  const auto result = cpu_single_threaded(*model_of(builder.finish(4)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].severity, Severity::high);
  EXPECT_EQ(evidence_number(result.findings[0], "times it was seen to wake them"), 20);
  EXPECT_GE(result.findings[0].confidence, 0.9);
}

TEST(CpuSingleThreaded, OneCpuOrAShortRunIsNotApplicable) {
  TraceBuilder one_cpu(1);
  one_cpu.run(1, 0, 3, one_cpu.stack({"main"}));
  EXPECT_THAT(cpu_single_threaded(*model_of(one_cpu.finish(3))).not_applicable, HasSubstr("one CPU"));
  TraceBuilder brief;
  EXPECT_THAT(cpu_single_threaded(*model_of(brief.finish(0.2))).not_applicable, HasSubstr("lasted"));
}

}  // namespace
}  // namespace tailback::testing
