// SPDX-License-Identifier: Apache-2.0
// Health and headline from the findings that stand.
#include "analyzers/summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/trace_builder.h"

namespace tailback::analyzers {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class SummaryTest : public ::testing::Test {
 protected:
  SummaryTest() {
    testing::TraceBuilder builder(2);
    builder.run(1, 0, 10, builder.stack({"main", "work"}), {.busy = 0.8}).finish(10);
    model_.recording = read_recording_image(builder.image_bytes(), "test.tbk");
    model_.symbols = std::make_unique<Symbols>(model_.recording, SymbolOptions{});
    model_.cpu = CpuProfile::build(model_.recording, *model_.symbols);
    model_.timeline = Timeline::build(model_.recording);
  }
  static Finding finding(const std::string& rule, Severity severity) {
    Finding made;
    made.rule = rule;
    made.severity = severity;
    made.title = "work takes 80 % of CPU time";
    made.gain = {"wall_time", 0.4, 0.3, 0.5, "counted"};
    return made;
  }
  Model model_;
};

TEST_F(SummaryTest, HealthFollowsTheWorstFinding) {
  EXPECT_EQ(summary_of(model_, {}).health, "healthy");
  EXPECT_EQ(summary_of(model_, {finding("cpu-spin", Severity::low)}).health, "healthy");
  EXPECT_EQ(summary_of(model_, {finding("cpu-hotspot", Severity::medium)}).health, "healthy") << "every program spends its time somewhere";
  EXPECT_EQ(summary_of(model_, {finding("cpu-spin", Severity::medium)}).health, "degraded");
  EXPECT_EQ(summary_of(model_, {finding("cpu-hotspot", Severity::medium), finding("cpu-spin", Severity::medium)}).health, "degraded");
  EXPECT_EQ(summary_of(model_, {finding("cpu-hotspot", Severity::high)}).health, "unhealthy");
  EXPECT_EQ(summary_of(model_, {finding("deadlock", Severity::critical)}).health, "unhealthy");
}

TEST_F(SummaryTest, HeadlineSaysWhatMatters) {
  EXPECT_THAT(summary_of(model_, {finding("cpu-spin", Severity::high)}).headline,
              AllOf(HasSubstr("work takes 80 %"), HasSubstr("40 % of wall time"), HasSubstr("8 s of CPU time in 10 s")));
  EXPECT_THAT(summary_of(model_, {finding("cpu-spin", Severity::low)}).headline, AllOf(HasSubstr("Nothing to fix"), HasSubstr("40 % of 2 CPUs")));
}

TEST_F(SummaryTest, ShortLivedThreadsAreOneRow) {
  model_.recording.thread_groups.push_back({.first_t = testing::kSecond, .last_t = 3 * testing::kSecond, .count = 900, .cpu_ns = 20 * testing::kSecond});
  const auto rows = thread_rows(model_);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].count, 900u);
  EXPECT_EQ(rows[0].name, "short-lived threads");
  EXPECT_DOUBLE_EQ(rows[0].cpu_seconds, 20);
  EXPECT_DOUBLE_EQ(rows[0].unsampled_seconds, 20);
}

TEST_F(SummaryTest, AnEmptyModelHasASummary) {
  Model empty;
  empty.symbols = std::make_unique<Symbols>(empty.recording, SymbolOptions{});
  const Summary summary = summary_of(empty, {});
  EXPECT_EQ(summary.cpu_utilization, 0);
  EXPECT_EQ(target_of(empty).cpus, 1u);
  EXPECT_EQ(target_of(empty).started_at, "1970-01-01T00:00:00Z");
  EXPECT_EQ(quality_of(empty).truncated_stacks_fraction, 0);
}

}  // namespace
}  // namespace tailback::analyzers
