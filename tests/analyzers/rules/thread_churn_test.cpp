// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::Severity;
using analyzers::thread_churn;

// `count` threads that live `life` seconds each, over four seconds.
TraceBuilder short_threads(std::uint64_t count, double life) {
  TraceBuilder builder;
  builder.define("pthread_create", {.module = "libc.so.6"});
  builder.define("start_thread", {.module = "libc.so.6"});
  const auto create = builder.stack({"main", "accept_loop()", "pthread_create"});
  const auto nanoseconds = [](double seconds) { return static_cast<std::uint64_t>(seconds * 1e9); };
  const double total = static_cast<double>(count) * life / 4;
  for (std::uint64_t second = 1; second <= 4; ++second)
    builder.add(trace::ThreadGroup{.t = second * kSecond, .creation_stack = create, .start_routine = builder.address_of("handle") - 16, .count = count / 4,
                                   .lifetime_ns = nanoseconds(total), .cpu_ns = nanoseconds(total * 0.5), .user_ns = nanoseconds(total * 0.4),
                                   .system_ns = nanoseconds(total * 0.1)});
  builder.run(1, 0, 4, create, {.busy = 0.2, .system = 1});
  builder.run(1, 0, 4, builder.stack({"main", "accept_loop()"}), {.busy = 0.3});
  return builder;
}

TEST(ThreadChurn, AThreadForEachPieceOfWorkIsHighAndBlamesTheCreator) {
  const auto result = thread_churn(*model_of(short_threads(4000, 0.0005).finish(4)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_EQ(result.findings[0].severity, Severity::high);
  EXPECT_EQ(result.findings[0].culprit.function, "accept_loop");
  EXPECT_NEAR(evidence_number(result.findings[0], "rate"), 1000, 50);
  EXPECT_GE(result.findings[0].gain.fraction, 0.2);  // the sampled creation alone
  EXPECT_EQ(result.findings[0].stacks.at(0).role, "creator");
}

TEST(ThreadChurn, AFewHundredASecondAreJudgedByWhatTheyCost) {
  auto builder = short_threads(800, 0.0005);
  EXPECT_EQ(thread_churn(*model_of(builder.finish(4))).findings.at(0).severity, Severity::high);  // creating them costs a fifth of the time
  TraceBuilder cheap;
  const auto create = cheap.stack({"main", "accept_loop()"});
  for (std::uint64_t second = 1; second <= 4; ++second)
    cheap.add(trace::ThreadGroup{.t = second * kSecond, .creation_stack = create, .count = 200, .lifetime_ns = kSecond / 4});
  cheap.run(1, 0, 4, create, {.busy = 0.3});
  const auto result = thread_churn(*model_of(cheap.finish(4)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].severity, Severity::low);
}

TEST(ThreadChurn, AFixedPoolIsFine) {
  TraceBuilder builder;
  for (int i = 0; i < 8; ++i) builder.thread({.name = "pool", .start_routine = "serve"});
  const auto result = thread_churn(*model_of(builder.finish(10)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_FALSE(result.fine.empty());
}

TEST(ThreadChurn, ASlowTrickleOfThreadsIsFine) {
  EXPECT_TRUE(thread_churn(*model_of(short_threads(60, 0.0005).finish(4))).findings.empty());
}

TEST(ThreadChurn, ThreadsThatLiveLongAreNoChurn) {
  EXPECT_TRUE(thread_churn(*model_of(short_threads(400, 1.5).finish(4))).findings.empty());
}

TEST(ThreadChurn, ThreadsListedSinglyCountAsWell) {
  TraceBuilder builder;
  for (int i = 0; i < 200; ++i) {
    const auto thread = builder.thread({.name = "job", .start = i * 0.01, .start_routine = "job", .creation_stack = {"main", "submit"}});
    builder.run(thread, i * 0.01, i * 0.01 + 0.005, builder.stack({"job"}));
    builder.end_thread(thread, i * 0.01 + 0.005);
  }
  const auto result = thread_churn(*model_of(builder.finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].culprit.function, "submit");
  EXPECT_EQ(evidence_number(result.findings[0], "threads created and ended"), 200);
}

}  // namespace
}  // namespace tailback::testing
