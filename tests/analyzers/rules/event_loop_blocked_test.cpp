// SPDX-License-Identifier: Apache-2.0
// Event loops in synthetic recordings: which handler is named, what it is worth, and where nothing is to be said.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::event_loop_blocked;
using analyzers::Severity;
using trace::Call;
using ::testing::HasSubstr;

struct Server {
  TraceBuilder builder;
  std::uint64_t wait = builder.stack({"main", "run_loop", "epoll_wait_for"});
  std::uint64_t quick = builder.stack({"main", "run_loop", "dispatch", "execute", "get_key"});
  std::uint64_t slow = builder.stack({"main", "run_loop", "dispatch", "execute", "list_keys", "match"});
};

TEST(EventLoopBlocked, TheHandlerIsWhatRunsInLongTurnsOnly) {
  Server server;
  server.builder.run(1, 0, 10, server.quick, {.busy = 0.3});
  server.builder.loop({.wait = server.wait, .turns = 100'000, .each = 30e-6, .long_stack = server.slow, .longs = 20});
  const auto result = event_loop_blocked(*model_of(server.builder.finish(10)));
  ASSERT_EQ(result.findings.size(), 1u);
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.culprit.function, "list_keys") << "dispatch and execute serve the others as well";
  EXPECT_EQ(finding.severity, Severity::high);
  EXPECT_EQ(finding.gain.metric, "latency");
  // 20 turns, 5 waited for each; 100,000 others took a turn of 30 us and their way.
  EXPECT_NEAR(finding.gain.fraction, 0.75 * 20 * 5 * 0.08 / (0.75 * 20 * 5 * 0.08 + 100'000 * 90e-6), 0.01);
  EXPECT_EQ(evidence_number(finding, "times"), 20);
  EXPECT_EQ(evidence_number(finding, "descriptors that waited, mean"), 5);
  EXPECT_NEAR(evidence_number(finding, "lag, 99th percentile"), 0.075, 0.01) << "a sixth of all moments lies in a long turn";
  EXPECT_LT(evidence_number(finding, "lag without it, 99th percentile"), 0.001);
  EXPECT_THAT(evidence_text(finding, "what it was doing"), HasSubstr("computing 100 %"));
  EXPECT_THAT(finding.advice[0], HasSubstr("worker thread"));
}

TEST(EventLoopBlocked, WithoutOtherWorkTheInnermostFunctionWithAllOfItIsNamed) {
  Server server;
  server.builder.loop({.wait = server.wait, .turns = 200, .each = 30e-6, .long_stack = server.slow, .longs = 20});
  const auto result = event_loop_blocked(*model_of(server.builder.finish(10)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].culprit.function, "match");
}

// 14 ms lie in the histogram's bucket from 8.4 ms on.
TEST(EventLoopBlocked, LongTurnsThatAreNotToldCountLikeThoseThatAre) {
  Server server;
  const auto waits = server.builder.stack({"main", "run_loop", "dispatch", "ask_store", "pthread_mutex_lock"});
  server.builder.run(1, 0, 10, server.quick, {.busy = 0.2});
  server.builder.loop({.wait = server.wait, .turns = 10'000, .each = 30e-6, .long_stack = waits, .long_call = Call::mutex_lock, .longs = 100, .long_each = 0.014, .untold = 200});
  const auto result = event_loop_blocked(*model_of(server.builder.finish(10)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].culprit.function, "ask_store");
  EXPECT_EQ(evidence_number(result.findings[0], "times"), 300);
}

TEST(EventLoopBlocked, AHandlerThatStandsStill) {
  Server server;
  const auto waits = server.builder.stack({"main", "run_loop", "dispatch", "save", "pthread_mutex_lock"});
  server.builder.run(1, 0, 10, server.quick, {.busy = 0.3});
  server.builder.loop({.wait = server.wait, .turns = 100'000, .each = 30e-6, .long_stack = waits, .long_call = Call::mutex_lock, .longs = 12, .long_each = 0.05});
  const auto result = event_loop_blocked(*model_of(server.builder.finish(10)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_EQ(result.findings[0].culprit.function, "save");
  EXPECT_THAT(evidence_text(result.findings[0], "what it was doing"), HasSubstr("waiting (lock) 100 %"));
  EXPECT_EQ(result.findings[0].stacks[0].role, "blocked");
}

TEST(EventLoopBlocked, TwoHandlersAreTwoSuggestions) {
  Server server;
  const auto waits = server.builder.stack({"main", "run_loop", "dispatch", "save", "pthread_mutex_lock"});
  server.builder.run(1, 0, 10, server.quick, {.busy = 0.3});
  server.builder.loop({.wait = server.wait, .turns = 100'000, .each = 20e-6, .long_stack = server.slow, .longs = 20});
  server.builder.loop({.wait = server.wait, .turns = 10, .each = 20e-6, .from = 0.25, .to = 10.25, .long_stack = waits, .long_call = Call::mutex_lock, .longs = 20, .long_each = 0.06});
  const auto result = event_loop_blocked(*model_of(server.builder.finish(10.25)));
  std::vector<std::string> named;
  for (const auto& finding : result.findings) named.push_back(finding.culprit.function);
  EXPECT_THAT(named, ::testing::UnorderedElementsAre("list_keys", "save"));
}

TEST(EventLoopBlocked, AScriptsHandlerIsOneHoweverItIsInterpreted) {
  Server server;
  const auto once = server.builder.stack({"main", "run_loop", "on_read", "_PyEval_EvalFrameDefault", "call_method", "digest"});
  const auto nested = server.builder.stack({"main", "run_loop", "on_read", "_PyEval_EvalFrameDefault", "luaV_execute", "call_method", "digest"});
  const auto quick = server.builder.stack({"main", "run_loop", "on_read", "_PyEval_EvalFrameDefault", "call_method", "get_key"});
  server.builder.run(1, 0, 10, quick, {.busy = 0.3});
  server.builder.loop({.wait = server.wait, .turns = 100'000, .each = 20e-6, .long_stack = once, .longs = 10});
  server.builder.loop({.wait = server.wait, .turns = 10, .each = 20e-6, .from = 0.25, .to = 10.25, .long_stack = nested, .longs = 10});
  const auto result = event_loop_blocked(*model_of(server.builder.finish(10.25)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].culprit.function, "digest");
  EXPECT_EQ(evidence_number(result.findings[0], "times"), 20);
}

TEST(EventLoopBlocked, ARareOneBesideItDoesNotHideIt) {
  Server server;
  const auto waits = server.builder.stack({"main", "run_loop", "dispatch", "save", "pthread_mutex_lock"});
  server.builder.run(1, 0, 10, server.quick, {.busy = 0.2});
  server.builder.loop({.wait = server.wait, .turns = 10'000, .each = 20e-6, .long_stack = server.slow, .longs = 20});
  server.builder.loop({.wait = server.wait, .turns = 10, .each = 20e-6, .from = 0.25, .to = 10.25, .long_stack = waits, .long_call = Call::mutex_lock, .longs = 2, .long_each = 0.12});
  const auto result = event_loop_blocked(*model_of(server.builder.finish(10.25)));
  ASSERT_EQ(result.findings.size(), 1u) << "dispatch is in long turns for nine tenths of its time, and has two that are";
  EXPECT_EQ(result.findings[0].culprit.function, "list_keys");
}

TEST(EventLoopBlocked, NobodyWaited) {
  Server server;
  server.builder.run(1, 0, 10, server.quick, {.busy = 0.3});
  server.builder.loop({.wait = server.wait, .turns = 100'000, .each = 30e-6, .long_stack = server.slow, .longs = 20, .ready_after = 0});
  const auto result = event_loop_blocked(*model_of(server.builder.finish(10)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.fine, HasSubstr("longest turn 80 ms"));
}

TEST(EventLoopBlocked, LongTurnsFullOfOrdinaryWorkAreLoad) {
  Server server;
  server.builder.run(1, 0, 10, server.quick, {.busy = 0.6});
  server.builder.loop({.wait = server.wait, .turns = 20'000, .each = 100e-6, .ready = 4, .long_stack = server.quick, .longs = 10, .long_each = 0.012});
  EXPECT_TRUE(event_loop_blocked(*model_of(server.builder.finish(10))).findings.empty());
}

TEST(EventLoopBlocked, LongTurnsThatWaitedForACpuHaveNoHandler) {
  Server server;
  server.builder.run(1, 0, 10, server.quick, {.busy = 0.3});
  server.builder.loop({.wait = server.wait, .turns = 100'000, .each = 20e-6});
  for (std::uint64_t i = 0; i < 20; ++i)
    server.builder.add(trace::LongTurn{i * 100'000'000, 40'000'000, 1, static_cast<std::uint64_t>(Call::epoll_wait), 6, server.wait, 1, 5});
  EXPECT_TRUE(event_loop_blocked(*model_of(server.builder.finish(10))).findings.empty());
}

TEST(EventLoopBlocked, OnceIsAnAccident) {
  Server server;
  server.builder.run(1, 0, 10, server.quick, {.busy = 0.3});
  server.builder.loop({.wait = server.wait, .turns = 100'000, .each = 20e-6, .long_stack = server.slow, .longs = 2, .long_each = 0.4});
  EXPECT_TRUE(event_loop_blocked(*model_of(server.builder.finish(10))).findings.empty());
}

TEST(EventLoopBlocked, WhoPollsNowAndThenIsNoLoop) {
  Server server;
  server.builder.loop({.wait = server.wait, .turns = 15, .each = 20e-6, .long_stack = server.slow, .longs = 5, .long_each = 0.2});
  const auto model = model_of(server.builder.finish(10));
  EXPECT_TRUE(model->event_loops.loops.empty());
  EXPECT_THAT(event_loop_blocked(*model).fine, HasSubstr("no thread comes back"));
}

TEST(EventLoops, FiguresOfALoop) {
  Server server;
  server.builder.loop({.wait = server.wait, .turns = 1000, .each = 20e-6, .ready = 2, .late = 30, .late_each = 0.004, .long_stack = server.slow, .longs = 10, .long_each = 0.1});
  const auto model = model_of(server.builder.finish(10));
  ASSERT_EQ(model->event_loops.loops.size(), 1u);
  const auto& loop = model->event_loops.loops[0];
  EXPECT_EQ(loop.row->turns, 1010u);
  EXPECT_EQ(loop.row->late, 30u);
  EXPECT_NEAR(loop.busy, 1.02, 0.01);
  EXPECT_NEAR(loop.waiting, 8.98, 0.05);
  EXPECT_NEAR(loop.ready_each(), 2, 0.01);
  analyzers::TurnLengths lengths(loop);
  EXPECT_NEAR(lengths.mean_lag(), 10 * 0.1 * 0.1 / 2 / 10, 1e-4);
  EXPECT_NEAR(lengths.lag_quantile(0.99), 0.09, 0.002) << "a hundredth of all moments waits for longer";
  for (const auto* turn : loop.long_turns) lengths.shorten(*turn, 0);
  EXPECT_LT(lengths.lag_quantile(0.99), 1e-4);
}

}  // namespace
}  // namespace tailback::testing
