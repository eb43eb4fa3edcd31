// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::Severity;
using ::testing::HasSubstr;
using analyzers::memory_realloc_growth;

// A vector of 16-byte elements grown to 64 of them: seven blocks, 2 KiB moved.
TraceBuilder vectors(std::vector<std::pair<double, double>> sizes) {
  TraceBuilder builder;
  const auto grow = builder.stack({"main", "split_row", "std::vector::_M_realloc_insert", "operator new", "malloc"});
  builder.run(1, 0, 2, grow, {.busy = 0.35}).run(1, 0, 2, builder.stack({"main", "split_row", "std::vector::_M_realloc_insert", "memmove"}), {.busy = 0.35});
  builder.run(1, 0, 2, builder.stack({"main", "compute"}), {.busy = 0.3});
  builder.churn(2, {.stack = builder.stack({"main", "split_row", "std::vector::_M_realloc_insert", "operator new"}), .blocks = 7e6, .sizes = std::move(sizes)});
  return builder;
}

std::vector<std::pair<double, double>> doubling() {
  std::vector<std::pair<double, double>> sizes;
  for (double bytes = 16; bytes <= 1024; bytes *= 2) sizes.emplace_back(bytes, 1.0 / 7);
  return sizes;
}

TEST(MemoryReallocGrowth, AVectorFilledElementByElementGetsReserve) {
  const auto result = memory_realloc_growth(*model_of(vectors(doubling()).finish(2)));
  ASSERT_EQ(result.findings.size(), 1u) << result.not_applicable << result.fine;
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.severity, Severity::high);
  EXPECT_EQ(finding.culprit.function, "split_row");
  EXPECT_EQ(evidence_number(finding, "steps of one container"), 7);
  EXPECT_EQ(evidence_number(finding, "containers"), 1e6);
  EXPECT_NEAR(finding.gain.fraction, 0.7 - 0.35 / 7, 0.01) << "one allocation is left, nothing is copied";
  EXPECT_THAT(finding.advice[0], HasSubstr("reserve(64)"));
}

TEST(MemoryReallocGrowth, ResizingOnceToAnySizeIsNoGrowth) {
  EXPECT_TRUE(memory_realloc_growth(*model_of(vectors({{128, 0.1}, {256, 0.2}, {512, 0.3}, {1024, 0.4}}).finish(2))).findings.empty());
  EXPECT_TRUE(memory_realloc_growth(*model_of(vectors({{1000, 1}}).finish(2))).findings.empty());
}

TEST(MemoryReallocGrowth, ChainsOfReallocCountTheirSteps) {
  TraceBuilder builder;
  const auto stack = builder.stack({"main", "append", "realloc"});
  builder.run(1, 0, 2, builder.stack({"main", "append", "realloc", "memcpy"}), {.busy = 0.4}).run(1, 0, 2, builder.stack({"main", "compute"}), {.busy = 0.6});
  builder.churn(2, {.stack = stack, .blocks = 1e6, .reallocations = 990'000, .sizes = {{1000, 0.1}, {3000, 0.2}, {10000, 0.7}}, .moved_bytes = 3e9});
  const auto result = memory_realloc_growth(*model_of(builder.finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_EQ(evidence_number(result.findings[0], "steps of one container"), 100);
  EXPECT_EQ(evidence_number(result.findings[0], "bytes moved"), 3e9);
  EXPECT_THAT(result.findings[0].advice[0], HasSubstr("100 steps become 7"));
}

TEST(MemoryReallocGrowth, WithoutRecordsOfTheHeapItIsNotApplicable) {
  EXPECT_FALSE(memory_realloc_growth(*model_of(TraceBuilder().finish(1))).not_applicable.empty());
}

}  // namespace
}  // namespace tailback::testing
