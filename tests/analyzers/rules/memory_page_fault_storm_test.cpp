// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::Severity;
using ::testing::HasSubstr;
using analyzers::memory_page_fault_storm;

TraceBuilder pictures(double system, double faults_per_second, double bytes = 4 << 20) {
  TraceBuilder builder;
  builder.run(1, 0, 2, builder.stack({"main", "answer", "draw"}), {.busy = 1, .system = system, .faults_per_second = faults_per_second});
  builder.churn(2, {.stack = builder.stack({"main", "answer", "operator new"}), .blocks = 1000, .sizes = {{bytes, 1}}, .life = 2e-3, .allocate = 10e-6, .free = 100e-6});
  return builder;
}

TEST(MemoryPageFaultStorm, ABufferForEachRequestIsKeptInstead) {
  const auto result = memory_page_fault_storm(*model_of(pictures(0.8, 512'000).finish(2)));
  ASSERT_EQ(result.findings.size(), 1u) << result.not_applicable << result.fine;
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.severity, Severity::high);
  EXPECT_EQ(finding.culprit.function, "answer");
  EXPECT_NEAR(finding.gain.fraction, 0.8 * 0.97, 0.01);
  EXPECT_EQ(evidence_number(finding, "pages of the blocks"), 1'024'000);
  EXPECT_THAT(finding.advice[1], HasSubstr("mmap_threshold=8388608"));
}

TEST(MemoryPageFaultStorm, OfMoreFaultsOnlyThoseOfTheBlocksCount) {
  const auto result = memory_page_fault_storm(*model_of(pictures(0.8, 1'024'000).finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_NEAR(result.findings[0].gain.fraction, 0.4 * 0.97, 0.01);
}

// `unmapped`: of the 1000 mappings of 4 MiB.
TraceBuilder scratch(double unmapped) {
  TraceBuilder builder;
  builder.run(1, 0, 2, builder.stack({"main", "answer", "draw"}), {.busy = 1, .system = 0.8, .faults_per_second = 512'000});
  builder.churn(2, {.stack = builder.stack({"main", "parse", "operator new"}), .blocks = 1000, .sizes = {{100, 1}}, .life = 2e-3, .allocate = 1e-6, .free = 1e-6});
  const auto stack = builder.stack({"main", "answer", "open_scratch"});
  builder.calls({.call = trace::Call::map, .stack = stack, .calls = 1000, .each = 4e-6, .bytes_each = 4 << 20, .to = 2});
  builder.calls({.call = trace::Call::unmap, .stack = stack, .calls = unmapped * 1000, .each = 100e-6, .bytes_each = 4 << 20, .to = 2});
  return builder;
}

TEST(MemoryPageFaultStorm, WhatTheProgramMapsByItselfCountsAsWell) {
  const auto result = memory_page_fault_storm(*model_of(scratch(1).finish(2)));
  ASSERT_EQ(result.findings.size(), 1u) << result.not_applicable << result.fine;
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.culprit.function, "open_scratch");
  EXPECT_NEAR(finding.gain.fraction, 0.8 * 0.97, 0.01);
  EXPECT_EQ(evidence_number(finding, "blocks"), 1000);
  EXPECT_THAT(finding.advice[1], HasSubstr("MAP_POPULATE"));
}

TEST(MemoryPageFaultStorm, MappingsThatStayAreFine) { EXPECT_TRUE(memory_page_fault_storm(*model_of(scratch(0.5).finish(2))).findings.empty()); }

TEST(MemoryPageFaultStorm, BlocksWhosePagesStayAreFine) { EXPECT_TRUE(memory_page_fault_storm(*model_of(pictures(0.05, 1000).finish(2))).findings.empty()); }

TEST(MemoryPageFaultStorm, SmallBlocksHaveNoPagesOfTheirOwn) { EXPECT_TRUE(memory_page_fault_storm(*model_of(pictures(0.8, 512'000, 4096).finish(2))).findings.empty()); }

TEST(MemoryPageFaultStorm, WithoutRecordsOfTheHeapItIsNotApplicable) {
  EXPECT_FALSE(memory_page_fault_storm(*model_of(TraceBuilder().finish(1))).not_applicable.empty());
}

}  // namespace
}  // namespace tailback::testing
