// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::pause;
using analyzers::RuleResult;
using analyzers::Severity;
using ::testing::HasSubstr;

// A thread that answers 40 requests a second in 1 ms each for ten seconds.
std::uint64_t add_server(TraceBuilder& builder) {
  const auto server = builder.thread({.name = "server", .start_routine = "serve"});
  const auto waiting = builder.stack({"serve", "epoll_wait"});
  builder.calls({.thread = server, .call = trace::Call::epoll_wait, .stack = waiting, .calls = 400, .each = 0.024, .to = 10});
  builder.run(server, 0, 10, builder.stack({"serve", "answer"}), {.busy = 0.04});
  return server;
}

trace::BusyStretch stretch(std::uint64_t thread, std::uint64_t from_ms, std::uint64_t to_ms, std::uint64_t stack, std::uint64_t last) {
  return {.thread = thread, .begin = from_ms * kMillisecond, .end = to_ms * kMillisecond, .stack = stack, .outermost = stack, .last_stack = last,
          .samples = (to_ms - from_ms) / 5, .weight_ns = (to_ms - from_ms) * kMillisecond, .then_waited = 1};
}

TEST(Pause, StopsSeenByTheLauncherAreExactAndToldOnce) {
  TraceBuilder builder;
  add_server(builder);
  for (std::uint64_t i = 1; i <= 4; ++i) {
    builder.add(trace::PauseSeen{.begin = i * kSecond, .end = i * kSecond + 300 * kMillisecond, .source = 1, .stops = 1});
    builder.add(trace::PauseSeen{.begin = i * kSecond + 7 * kMillisecond, .end = i * kSecond + 301 * kMillisecond, .within_ns = 10'000'000, .stops = 1});
  }
  const auto result = pause(*model_of(builder.finish(10)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_EQ(result.findings[0].cause, "stopped");
  EXPECT_EQ(result.findings[0].severity, Severity::high);
  EXPECT_NEAR(evidence_number(result.findings[0], "total"), 1.2, 1e-6);
  EXPECT_EQ(evidence_number(result.findings[0], "pauses"), 4);
}

TEST(Pause, WhatTheAgentsThreadSawIsToldApart) {
  const auto cause = [](trace::PauseSeen seen) {
    TraceBuilder builder;
    add_server(builder);
    seen.begin = kSecond, seen.end = 2 * kSecond;
    builder.add(seen);
    const auto model = model_of(builder.finish(10));
    EXPECT_EQ(model->pauses.kinds.size(), 1u);
    return std::string(analyzers::to_string(model->pauses.kinds.at(0).cause));
  };
  EXPECT_EQ(cause({.stops = 1}), "stopped");
  EXPECT_EQ(cause({.run_delay_ns = kSecond}), "cpu-starvation");
  EXPECT_EQ(cause({.steal_ns = kSecond}), "cpu-starvation");
  EXPECT_EQ(cause({.process_cpu_ns = kSecond, .run_delay_ns = kSecond / 2}), "cpu-starvation");
  EXPECT_EQ(cause({.throttled_ns = kSecond}), "throttled");
  EXPECT_EQ(cause({}), "unknown");
}

TEST(Pause, AThrottlingQuotaIsNamedWithTheOneThatWouldDo) {
  TraceBuilder builder;
  const std::uint64_t quota = 50 * kMillisecond, period = 100 * kMillisecond;
  builder.add(trace::CgroupState{.t = 0, .cpu_quota_ns = quota, .cpu_period_ns = period, .usage_ns = 1});
  for (std::uint64_t i = 1; i <= 4; ++i)
    builder.add(trace::CgroupState{.t = i * kSecond, .cpu_quota_ns = quota, .cpu_period_ns = period, .usage_ns = i * kSecond / 2, .periods = 10 * i,
                                   .throttled_periods = 9 * i, .throttled_ns = i * kSecond / 2});
  builder.run(1, 0, 4, builder.stack({"main"}), {.busy = 0.5});
  const auto result = pause(*model_of(builder.finish(4)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].cause, "throttled");
  EXPECT_EQ(result.findings[0].severity, Severity::high);
  EXPECT_DOUBLE_EQ(evidence_number(result.findings[0], "quota"), 0.5);
  EXPECT_NEAR(evidence_number(result.findings[0], "quota that would do"), 1, 0.11);
  EXPECT_NEAR(evidence_number(result.findings[0], "total"), 2, 0.01);
  EXPECT_NEAR(result.findings[0].gain.fraction, 0.5, 0.01);
}

TEST(Pause, CollectionsOfABatchProgramCountByTheirPartOfTheTime) {
  const auto result = [](double part) {
    TraceBuilder builder;
    const auto caller = builder.stack({"main", "_PyEval_EvalFrameDefault", "build"});
    const auto collect = builder.stack({"main", "_PyEval_EvalFrameDefault", "build", "gc_collect_main", "dict_traverse"});
    builder.run(1, 0, 10, builder.stack({"main", "_PyEval_EvalFrameDefault"}), {.busy = 1 - part});
    builder.run(1, 0, 10, collect, {.busy = part});
    builder.add(stretch(1, 1000, 1200, caller, collect));
    return pause(*model_of(builder.finish(10)));
  };
  const auto found = result(0.4);
  ASSERT_EQ(found.findings.size(), 1u);
  EXPECT_EQ(incomplete(found.findings[0]), "");
  EXPECT_EQ(found.findings[0].cause, "gc");
  EXPECT_EQ(found.findings[0].severity, Severity::high);
  EXPECT_THAT(found.findings[0].title, HasSubstr("CPython"));
  EXPECT_NEAR(evidence_number(found.findings[0], "longest"), 0.2, 1e-6);
  EXPECT_NEAR(evidence_number(found.findings[0], "total (sampled)"), 4, 0.1);
  EXPECT_TRUE(result(0.03).findings.empty());
}

TEST(Pause, AForkOnAThreadThatAnswersIsOne) {
  TraceBuilder builder;
  builder.define("fork", {.module = "libc.so.6"});
  const auto server = add_server(builder);
  builder.calls({.thread = server, .call = trace::Call::fork, .stack = builder.stack({"serve", "save", "fork"}), .calls = 8, .each = 0.06, .to = 8});
  const auto result = pause(*model_of(builder.finish(10)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].cause, "fork");
  EXPECT_EQ(result.findings[0].culprit.function, "save");
  EXPECT_EQ(evidence_number(result.findings[0], "pauses"), 8);
  EXPECT_NEAR(evidence_number(result.findings[0], "total"), 0.48, 1e-3);
}

TEST(Pause, FreeingForLongIsOneWhereAThreadAnswers) {
  const auto found = [](bool answering) {
    TraceBuilder builder;
    const auto thread = answering ? add_server(builder) : 1;
    const auto caller = builder.stack({"serve", "replace"}), freeing = builder.stack({"serve", "replace", "Table::~Table", "free"});
    builder.run(thread, 0, 10, freeing, {.busy = 0.05});
    for (std::uint64_t second = 1; second < 6; ++second) builder.add(stretch(thread, second * 1000, second * 1000 + 100, caller, freeing));
    return pause(*model_of(builder.finish(10)));
  };
  const auto result = found(true);
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].cause, "mass-free");
  EXPECT_EQ(result.findings[0].culprit.function, "replace");
  EXPECT_NEAR(evidence_number(result.findings[0], "total"), 0.5, 1e-3);
  EXPECT_TRUE(found(false).findings.empty());  // a batch program that frees what it does not need any more
}

// Ten stretches of freeing, each of which ends with a call that gives memory back and takes `part` of it.
std::vector<std::string> causes_of_freeing(double part) {
  TraceBuilder builder;
  const auto server = add_server(builder);
  const auto caller = builder.stack({"serve", "replace"}), freeing = builder.stack({"serve", "replace", "Table::~Table", "free"});
  builder.run(server, 0, 10, freeing, {.busy = 0.05});
  for (std::uint64_t i = 0; i < 5; ++i) {
    const double end = static_cast<double>(i) + 1.1;
    builder.add(stretch(server, (i + 1) * 1000, (i + 1) * 1000 + 100, caller, freeing));
    builder.calls({.thread = server, .call = trace::Call::unmap, .stack = builder.stack({"serve", "replace"}), .calls = 1, .each = 0.1 * part, .from = end - 0.1 * part, .to = end});
  }
  std::vector<std::string> causes;
  for (const auto& finding : pause(*model_of(builder.finish(10))).findings) causes.push_back(finding.cause);
  return causes;
}

TEST(Pause, AStretchTakesInTheCallsThatAreASmallPartOfIt) {
  EXPECT_EQ(causes_of_freeing(0.3), (std::vector<std::string>{"mass-free"}));
  EXPECT_EQ(causes_of_freeing(0.8), (std::vector<std::string>{"allocator-trim"}));
}

// Three threads of one kind; each second one of them is alone for 0.2 s, in `function`, while `usually` is what they do else.
RuleResult with_one_alone(const std::string& function, bool of_their_kind) {
  TraceBuilder builder(4);
  std::vector<std::uint64_t> threads;
  for (int i = 0; i < 3; ++i) threads.push_back(builder.thread({.name = "mutator", .start_routine = "work"}));
  const auto working = builder.stack({"work", "compute"}), caller = builder.stack({"work"}), alone = builder.stack({"work", function, "visit"});
  for (const auto thread : threads) builder.run(thread, 0, 6, working, {.busy = 0.7});
  for (std::uint64_t second = 0; second < 6; ++second) {
    const auto runner = of_their_kind ? threads[second % 3] : 1;
    const auto begin = static_cast<double>(second) + 0.5;
    builder.run(runner, begin, begin + 0.2, alone);
    builder.add(stretch(runner, second * 1000 + 500, second * 1000 + 700, caller, alone));
    builder.add(trace::WorldStopped{.begin = second * kSecond + 500 * kMillisecond, .end = second * kSecond + 700 * kMillisecond, .thread = runner, .waiters = 2, .waiter = threads[(second + 1) % 3]});
  }
  return pause(*model_of(builder.finish(6)));
}

TEST(Pause, AnUnknownRuntimeThatStopsTheWorldIsFoundByItsSignature) {
  const auto result = with_one_alone("sweep_everything", true);
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_EQ(result.findings[0].cause, "stop-the-world");
  EXPECT_NEAR(evidence_number(result.findings[0], "total"), 1.2, 1e-3);
  EXPECT_EQ(evidence_number(result.findings[0], "pauses"), 6);
}

TEST(Pause, APoolThatWaitsForWorkOrForItsSlowestDoesNotStopTheWorld) {
  EXPECT_TRUE(with_one_alone("prepare_next_batch", false).findings.empty());
  EXPECT_TRUE(with_one_alone("compute", true).findings.empty());
}

TEST(Pause, OrdinaryWaitingAndComputingIsNone) {
  TraceBuilder builder;
  const auto server = add_server(builder);
  const auto file = builder.file("/data/log");
  builder.calls({.thread = server, .call = trace::Call::epoll_wait, .stack = builder.stack({"serve", "epoll_wait"}), .calls = 3, .each = 2, .to = 9});
  builder.calls({.thread = server, .call = trace::Call::mutex_lock, .object = 0x1000, .stack = builder.stack({"serve", "lock"}), .calls = 5, .each = 0.3, .to = 9});
  builder.flushes(1, file, builder.stack({"main", "save"}), 10, 0.3);  // main answers nobody
  builder.run(1, 0, 10, builder.stack({"main", "compute"}), {.busy = 1});
  builder.add(stretch(1, 0, 10'000, builder.stack({"main"}), builder.stack({"main", "compute"})));
  builder.add(stretch(server, 4000, 4100, builder.stack({"serve"}), builder.stack({"serve", "answer"})));
  const auto model = model_of(builder.finish(10));
  EXPECT_TRUE(model->pauses.kinds.empty());
  EXPECT_TRUE(pause(*model).findings.empty());
}

TEST(Pause, WaitingAtARandomMomentFollowsFromTheLengths) {
  analyzers::PauseKind kind;
  for (int i = 0; i < 10; ++i) kind.pauses.push_back({static_cast<double>(i), 0.2, 0, 0, 0});
  // Ten pauses of 0.2 s in 100 s: a moment in a hundred waits for more than the x with 10 (0.2 - x) = 1.
  EXPECT_NEAR(kind.added_latency(0.99, 100), 0.1, 1e-3);
  EXPECT_NEAR(kind.added_latency(0.999, 100), 0.19, 1e-3);
  EXPECT_EQ(kind.added_latency(0.9, 100), 0);
}

}  // namespace
}  // namespace tailback::testing
