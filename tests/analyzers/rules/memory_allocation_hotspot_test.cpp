// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::Severity;
using ::testing::HasSubstr;
using analyzers::memory_allocation_hotspot;

TraceBuilder orders(double busy) {
  TraceBuilder builder;
  builder.run(1, 0, 2, builder.stack({"main", "new_order", "malloc", "_int_malloc"}), {.busy = busy * 0.6}).run(1, 0, 2, builder.stack({"main", "close_order", "free"}), {.busy = busy * 0.4});
  builder.run(1, 0, 2, builder.stack({"main", "compute"}), {.busy = 1 - busy});
  builder.churn(2, {.stack = builder.stack({"main", "new_order", "malloc"}), .blocks = 2e7, .sizes = {{1100, 0.5}, {3000, 0.5}}, .life = 1e-3});
  return builder;
}

TEST(MemoryAllocationHotspot, AnAllocatorThatDominatesGetsAPoolWithTheSizesSeen) {
  const auto result = memory_allocation_hotspot(*model_of(orders(0.8).finish(2)));
  ASSERT_EQ(result.findings.size(), 1u) << result.not_applicable << result.fine;
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.severity, Severity::high);
  EXPECT_EQ(finding.culprit.function, "new_order");
  EXPECT_NEAR(finding.gain.fraction, 0.8 * (1 - 5.0 / 80), 0.02) << "80 ns a block, its free included";
  EXPECT_THAT(finding.advice[0], HasSubstr("KiB"));
  EXPECT_THAT(finding.advice[2], HasSubstr("1032"));
}

TEST(MemoryAllocationHotspot, AFifthOfCpuTimeIsLowAtMost) {
  const auto result = memory_allocation_hotspot(*model_of(orders(0.2).finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].severity, Severity::low);
}

TEST(MemoryAllocationHotspot, ATenthIsFine) {
  const auto result = memory_allocation_hotspot(*model_of(orders(0.1).finish(2)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.fine, HasSubstr("10 %"));
}

TEST(MemoryAllocationHotspot, WithoutRecordsOfTheHeapItIsNotApplicable) {
  EXPECT_FALSE(memory_allocation_hotspot(*model_of(TraceBuilder().finish(1))).not_applicable.empty());
}

}  // namespace
}  // namespace tailback::testing
