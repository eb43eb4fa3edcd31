// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::Severity;
using ::testing::HasSubstr;
using analyzers::memory_temporary_allocations;

constexpr const char* kDispose = "std::basic_string::~basic_string";

// Half of the time in the allocator for strings of parse, a fifth in copying them.
TraceBuilder parser(double life, double temporary, std::vector<std::string> outer = {"main", "parse"}) {
  TraceBuilder builder;
  const auto below = [&](std::vector<std::string> inner) {
    std::vector<std::string> stack = outer;
    stack.insert(stack.end(), inner.begin(), inner.end());
    return builder.stack(stack);
  };
  const auto allocating = below({"std::basic_string::_M_create", "operator new", "malloc"}), freeing = below({kDispose, "free", "_int_free"});
  builder.run(1, 0, 2, allocating, {.busy = 0.25}).run(1, 0, 2, freeing, {.busy = 0.25}).run(1, 0, 2, below({"std::basic_string::_M_construct", "memcpy"}), {.busy = 0.2});
  builder.run(1, 0, 2, builder.stack({"main", "compute"}), {.busy = 0.3});
  builder.churn(2, {.stack = below({"std::basic_string::_M_create", "operator new"}), .blocks = 2e7, .temporary = temporary * 2e7, .sizes = {{40, 0.5}, {70, 0.5}}, .life = life});
  return builder;
}

TEST(MemoryTemporaryAllocations, StringsMadeToBeReadAreHighAndGetAView) {
  const auto result = memory_temporary_allocations(*model_of(parser(1e-7, 0.6).finish(2)));
  ASSERT_EQ(result.findings.size(), 1u) << result.not_applicable << result.fine;
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.severity, Severity::high);
  EXPECT_EQ(finding.culprit.function, "parse");
  EXPECT_NEAR(finding.gain.fraction, 0.95 * (0.5 + 0.2), 0.02) << "allocating, freeing and copying";
  EXPECT_LT(finding.gain.low, 0.5) << "a buffer used again is still copied into";
  EXPECT_NEAR(evidence_number(finding, "one block, allocated and freed"), 50e-9, 3e-9) << "by CPU samples, not by clocks";
  EXPECT_THAT(finding.advice[0], HasSubstr("std::string_view"));
  EXPECT_THAT(finding.title, HasSubstr("20 million"));
}

TEST(MemoryTemporaryAllocations, BlocksThatLiveAreNoChurn) {
  EXPECT_TRUE(memory_temporary_allocations(*model_of(parser(0.01, 0).finish(2))).findings.empty());
}

TEST(MemoryTemporaryAllocations, FreedBeforeTheNextAllocationIsEnoughHoweverLongItTook) {
  EXPECT_EQ(memory_temporary_allocations(*model_of(parser(0.01, 0.9).finish(2))).findings.size(), 1u);
}

TEST(MemoryTemporaryAllocations, TheCallerOfAWrapperIsMeant) {
  const auto result = memory_temporary_allocations(*model_of(parser(1e-7, 0.6, {"main", "parse", "my_malloc"}).finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].culprit.function, "parse");
}

TEST(MemoryTemporaryAllocations, FreesInAnotherFunctionCountByTheHeapsShare) {
  TraceBuilder builder;
  builder.run(1, 0, 2, builder.stack({"main", "make", "malloc"}), {.busy = 0.2}).run(1, 0, 2, builder.stack({"main", "use", "free"}), {.busy = 0.2});
  builder.run(1, 0, 2, builder.stack({"main", "compute"}), {.busy = 0.6});
  builder.churn(2, {.stack = builder.stack({"main", "make", "malloc"}), .blocks = 1e7, .sizes = {{300, 1}}});
  const auto result = memory_temporary_allocations(*model_of(builder.finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_NEAR(result.findings[0].gain.fraction, 0.95 * 0.4, 0.02);
  EXPECT_THAT(result.findings[0].advice[1], HasSubstr("on the stack"));
}

TEST(MemoryTemporaryAllocations, ALittleChurnIsNoFinding) {
  TraceBuilder builder;
  builder.run(1, 0, 2, builder.stack({"main", "make", "malloc"}), {.busy = 0.02}).run(1, 0, 2, builder.stack({"main", "compute"}), {.busy = 0.98});
  builder.churn(2, {.stack = builder.stack({"main", "make", "malloc"}), .blocks = 1e6, .sizes = {{300, 1}}});
  const auto result = memory_temporary_allocations(*model_of(builder.finish(2)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.fine, HasSubstr("1 million"));
}

TEST(MemoryTemporaryAllocations, WithoutRecordsOfTheHeapItIsNotApplicable) {
  TraceBuilder builder;
  builder.run(1, 0, 2, builder.stack({"main", "make", "malloc"}));
  EXPECT_THAT(memory_temporary_allocations(*model_of(builder.finish(2))).not_applicable, HasSubstr("--alloc off"));
}

}  // namespace
}  // namespace tailback::testing
