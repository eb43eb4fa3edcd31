// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::cpu_hotspot;
using analyzers::cpu_spin;
using analyzers::Severity;
using ::testing::HasSubstr;

TEST(CpuSpin, AFunctionThatDoesLittleButYieldWaitsActively) {
  TraceBuilder builder;
  builder.define("wait_ready(Queue&)", {.file = "queue.cc", .line = 7});
  builder.define("sched_yield", {.module = "libc.so.6"});
  const auto consumer = builder.thread({.name = "consumer", .start_routine = "consume"});
  builder.run(consumer, 0, 3, builder.stack({"consume", "wait_ready(Queue&)", "sched_yield"}), {.busy = 0.9});
  builder.run(consumer, 0, 3, builder.stack({"consume", "wait_ready(Queue&)"}), {.busy = 0.08});
  builder.run(1, 0, 3, builder.stack({"main", "produce"}));
  const auto model = model_of(builder.finish(3));
  const auto result = cpu_spin(*model);
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_EQ(result.findings[0].culprit.function, "wait_ready");
  EXPECT_EQ(result.findings[0].severity, Severity::high);
  EXPECT_EQ(result.findings[0].gain.metric, "cpu_time");
  EXPECT_NEAR(result.findings[0].gain.fraction, 0.49, 0.03);
  EXPECT_THAT(evidence_text(result.findings[0], "known from"), HasSubstr("sched_yield"));
  for (const auto& finding : cpu_hotspot(*model).findings) EXPECT_NE(finding.culprit.function, "wait_ready");  // said once
}

TEST(CpuSpin, ReadingTheClockBesideRealWorkIsNoSpin) {
  TraceBuilder builder;
  builder.define("clock_gettime", {.module = "libc.so.6"});
  builder.run(1, 0, 2, builder.stack({"main", "bench_loop", "clock_gettime"}), {.busy = 0.5});
  builder.run(1, 0, 2, builder.stack({"main", "bench_loop", "insert_key", "malloc"}), {.busy = 0.0001});
  builder.run(1, 0, 2, builder.stack({"main", "bench_loop"}), {.busy = 0.5});
  EXPECT_TRUE(cpu_spin(*model_of(builder.finish(2))).findings.empty());
}

TEST(CpuSpin, ATightKernelWithoutProofIsNoSpin) {
  TraceBuilder builder;
  builder.run(1, 0, 5, builder.stack({"main", "xorshift_fill(unsigned long*)"}));
  const auto result = cpu_spin(*model_of(builder.finish(5)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.fine, HasSubstr("could not be read"));  // says how little it could see
}

TEST(CpuSpin, AShortSpinBeforeBlockingStaysBelowTheThreshold) {
  TraceBuilder builder;
  builder.define("sched_yield", {.module = "libc.so.6"});
  builder.run(1, 0, 4, builder.stack({"main", "wait", "sched_yield"}), {.busy = 0.02});
  builder.run(1, 0, 4, builder.stack({"main", "work"}), {.busy = 0.97});
  EXPECT_TRUE(cpu_spin(*model_of(builder.finish(4))).findings.empty());
}

TEST(CpuSpin, WallTimeGainsOnlyWhereCpusAreShort) {
  for (const int threads : {1, 5}) {
    TraceBuilder builder;
    builder.define("sched_yield", {.module = "libc.so.6"});
    for (int i = 0; i < threads; ++i) {
      const auto thread = builder.thread({.name = "w", .start_routine = "spin"});
      builder.run(thread, 0, 2, builder.stack({"spin", "wait", "sched_yield"}), {.busy = 1.0 / threads, .waiting = 1 - 1.0 / threads});
    }
    const auto result = cpu_spin(*model_of(builder.finish(2)));
    ASSERT_EQ(result.findings.size(), 1u);
    EXPECT_THAT(result.findings[0].gain.how, HasSubstr(threads == 1 ? "only where other" : "wall time gains as well"));
  }
}

TEST(CpuSpin, TooFewSamplesIsNotApplicable) {
  TraceBuilder builder;
  EXPECT_THAT(cpu_spin(*model_of(builder.finish(1))).not_applicable, HasSubstr("no CPU samples"));
}

TEST(CpuSpin, CallsOfYieldAreCounted) {
  TraceBuilder builder;
  builder.define("sched_yield", {.module = "libc.so.6"});
  builder.run(1, 0, 3, builder.stack({"main", "wait", "sched_yield"}));
  builder.calls({.call = trace::Call::yield, .calls = 300000, .each = 1e-6, .to = 3});
  const auto result = cpu_spin(*model_of(builder.finish(3)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(evidence_number(result.findings[0], "calls of sched_yield by the spinning threads"), 300000);
}

}  // namespace
}  // namespace tailback::testing
