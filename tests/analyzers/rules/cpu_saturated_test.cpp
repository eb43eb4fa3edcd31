// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::cpu_saturated;
using analyzers::Severity;
using ::testing::HasSubstr;

TEST(CpuSaturated, FullUseByItsOwnWorkIsOnlyANote) {
  TraceBuilder builder;
  const auto other = builder.thread({.name = "w", .start_routine = "work"});
  builder.run(1, 0, 4, builder.stack({"main"}));
  builder.run(other, 0, 4, builder.stack({"work"}));
  const auto result = cpu_saturated(*model_of(builder.finish(4)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].severity, Severity::info);
}

TEST(CpuSaturated, OtherProgramsInTheWayAreANote) {
  TraceBuilder builder;
  builder.others_busy(0.75).run(1, 0, 4, builder.stack({"main"}), {.busy = 0.5, .waiting = 0.5});
  const auto result = cpu_saturated(*model_of(builder.finish(4)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].severity, Severity::info);
  EXPECT_NEAR(evidence_number(result.findings[0], "waited for a CPU because of others"), 2, 0.1);
}

TEST(CpuSaturated, RisingUseIsForecast) {
  TraceBuilder builder(1);
  for (int second = 0; second < 40; ++second) builder.run(1, second, second + 1, builder.stack({"main"}), {.busy = 0.2 + 0.015 * second});
  const auto result = cpu_saturated(*model_of(builder.finish(40)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_NEAR(evidence_number(result.findings[0], "time left at this rate"), (1 - 0.8) / 0.015, 2);
}

TEST(CpuSaturated, SteadyPartialUseIsFine) {
  TraceBuilder builder;
  builder.run(1, 0, 30, builder.stack({"main"}), {.busy = 0.6});
  const auto result = cpu_saturated(*model_of(builder.finish(30)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.fine, HasSubstr("30 %"));
}

TEST(CpuSaturated, AShortRunIsNotApplicable) {
  TraceBuilder builder;
  builder.run(1, 0, 1, builder.stack({"main"}));
  EXPECT_THAT(cpu_saturated(*model_of(builder.finish(1))).not_applicable, HasSubstr("lasted"));
}

}  // namespace
}  // namespace tailback::testing
