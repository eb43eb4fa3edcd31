// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::cpu_oversubscription;
using analyzers::Severity;
using ::testing::HasSubstr;

TraceBuilder busy_threads(int threads, unsigned cpus, double share_of_a_cpu, double waiting) {
  TraceBuilder builder(cpus);
  for (int i = 0; i < threads; ++i) {
    const auto thread = builder.thread({.name = "worker", .start_routine = "run_job", .creation_stack = {"main", "start_jobs"}});
    builder.run(thread, 0, 4, builder.stack({"run_job", "crunch"}), {.busy = share_of_a_cpu, .waiting = waiting});
  }
  return builder;
}

TEST(CpuOversubscription, ManyBusyThreadsOnFewCpusAreHigh) {
  const auto result = cpu_oversubscription(*model_of(busy_threads(64, 2, 2.0 / 64, 62.0 / 64).finish(4)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_EQ(result.findings[0].severity, Severity::high);
  EXPECT_EQ(result.findings[0].culprit.function, "crunch");
  EXPECT_EQ(result.findings[0].gain.metric, "latency");
  EXPECT_NEAR(result.findings[0].gain.fraction, (1 - 2.0 / 64) / 2, 0.02);
  EXPECT_NEAR(result.findings[0].gain.high, 1 - 2.0 / 64, 0.02);
  EXPECT_NEAR(evidence_number(result.findings[0], "threads wanting a CPU at a time"), 64, 1);
  EXPECT_EQ(result.findings[0].stacks.back().role, "creator");
}

TEST(CpuOversubscription, APoolOfTheMachinesSizeIsFine) {
  const auto result = cpu_oversubscription(*model_of(busy_threads(2, 2, 0.97, 0.03).finish(4)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_FALSE(result.fine.empty());
}

TEST(CpuOversubscription, WaitingBecauseOfOtherProgramsIsNotItsFault) {
  auto builder = busy_threads(2, 2, 0.3, 0.7);
  EXPECT_TRUE(cpu_oversubscription(*model_of(builder.others_busy(0.7).finish(4))).findings.empty());
}

TEST(CpuOversubscription, ThreeTimesTheCpusIsMediumAndBelowThatLow) {
  const auto thrice = cpu_oversubscription(*model_of(busy_threads(13, 4, 4.0 / 13, 9.0 / 13).finish(4)));
  ASSERT_EQ(thrice.findings.size(), 1u);
  EXPECT_EQ(thrice.findings[0].severity, Severity::medium);
  const auto twice = cpu_oversubscription(*model_of(busy_threads(8, 4, 0.5, 0.5).finish(4)));
  ASSERT_EQ(twice.findings.size(), 1u);
  EXPECT_EQ(twice.findings[0].severity, Severity::low);
}

TEST(CpuOversubscription, ManyMostlySleepingThreadsAreFine) {
  EXPECT_TRUE(cpu_oversubscription(*model_of(busy_threads(64, 2, 0.02, 0.001).finish(4))).findings.empty());
}

TEST(CpuOversubscription, WithoutASourceOfRunDelayItIsNotApplicable) {
  TraceBuilder builder;
  builder.add(trace::Machine{.cpus_online = 2, .cpus_allowed = 2, .run_delay_source = 0});
  builder.run(1, 0, 2, builder.stack({"main"}));
  EXPECT_THAT(cpu_oversubscription(*model_of(builder.finish(2))).not_applicable, HasSubstr("run-queue delay"));
}

}  // namespace
}  // namespace tailback::testing
