// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::Severity;
using ::testing::HasSubstr;
using analyzers::memory_allocator_contention;

struct Fight {
  double locks = 0.3;          // of a thread's time
  double crossed = 1;          // of the blocks
  double each = 200e-9;        // seconds inside one malloc
};

TraceBuilder messages(const Fight& fight, int threads = 4) {
  TraceBuilder builder(4);
  const auto lock = builder.stack({"produce", "new_message", "malloc", "__lll_lock_wait_private"}), work = builder.stack({"produce", "new_message", "malloc", "_int_malloc"});
  for (int i = 0; i < threads; ++i) {
    const auto thread = builder.thread({.name = "worker", .start_routine = "produce"});
    if (fight.locks > 0) builder.run(thread, 0, 2, lock, {.busy = fight.locks});
    builder.run(thread, 0, 2, work, {.busy = 0.5 - fight.locks});
  }
  builder.churn(2, {.stack = builder.stack({"produce", "new_message", "malloc"}), .blocks = 1e7, .sizes = {{2000, 1}}, .life = 1e-3, .allocate = fight.each, .free = fight.each, .crossed = 1e7 * fight.crossed});
  return builder;
}

TEST(MemoryAllocatorContention, LocksOfTheAllocatorOnSampledStacksAreTheProof) {
  const auto result = memory_allocator_contention(*model_of(messages({}).finish(2)));
  ASSERT_EQ(result.findings.size(), 1u) << result.not_applicable << result.fine;
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.severity, Severity::high);
  EXPECT_EQ(finding.culprit.function, "new_message");
  EXPECT_GT(finding.gain.fraction, 0.6);
  EXPECT_EQ(evidence_number(finding, "threads that allocate or free"), 4);
  EXPECT_THAT(finding.advice[0], HasSubstr("100 % of the blocks are freed by another thread"));
}

TEST(MemoryAllocatorContention, CallsFarLongerThanTheirCpuTimeAreWaiting) {
  const auto result = memory_allocator_contention(*model_of(messages({.locks = 0, .crossed = 0, .each = 2e-6}).finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_LE(result.findings[0].severity, Severity::medium) << "without the locks on the stacks it is an inference";
  EXPECT_GT(evidence_number(result.findings[0], "of that, neither running nor queued for a CPU"), 30);
}

TEST(MemoryAllocatorContention, ThreadsThatAllocateApartAreFine) {
  const auto result = memory_allocator_contention(*model_of(messages({.locks = 0, .crossed = 0}).finish(2)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.fine, HasSubstr("4 threads"));
}

TEST(MemoryAllocatorContention, OneThreadHasNobodyToFightWith) { EXPECT_TRUE(memory_allocator_contention(*model_of(messages({}, 1).finish(2))).findings.empty()); }

TEST(MemoryAllocatorContention, WithoutRecordsOfTheHeapItIsNotApplicable) {
  EXPECT_FALSE(memory_allocator_contention(*model_of(TraceBuilder().finish(1))).not_applicable.empty());
}

}  // namespace
}  // namespace tailback::testing
