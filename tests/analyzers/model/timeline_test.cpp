// SPDX-License-Identifier: Apache-2.0
// Threads and process second by second: nothing is lost or invented when counters are spread over bins.
#include "analyzers/model/timeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/trace_builder.h"

namespace tailback::analyzers {
namespace {

using testing::kSecond;
using testing::TraceBuilder;

Recording read(const TraceBuilder& builder, const ReadOptions& options = {}) {
  return read_recording_image(builder.image_bytes(), "test.tbk", options);
}

double running(const ThreadTimeline& thread) {
  double sum = 0;
  for (const auto& bin : thread.bins) sum += static_cast<double>(bin.running);
  return sum;
}

TEST(Timeline, ShowsWhoRanWhen) {
  TraceBuilder builder(4);
  const auto stack = builder.stack({"main"});
  const auto worker = builder.thread({.name = "worker", .start = 2});
  builder.run(1, 0, 2, stack).run(worker, 2, 5, stack, {.busy = 0.5, .waiting = 0.25}).end_thread(worker, 5).others_busy(0.25).finish(5.5);
  const Timeline timeline = Timeline::build(read(builder));
  ASSERT_EQ(timeline.process.size(), 6u);
  EXPECT_DOUBLE_EQ(timeline.wall_seconds, 5.5);
  EXPECT_DOUBLE_EQ(timeline.process[5].length, 0.5);
  EXPECT_EQ(timeline.cpus, 4);
  EXPECT_TRUE(timeline.has_run_delay);
  const ThreadTimeline* thread = timeline.find(static_cast<ThreadId>(worker));
  ASSERT_NE(thread, nullptr);
  EXPECT_EQ(timeline.find(99), nullptr);
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_NEAR(thread->bins[i].running, i >= 2 && i < 5 ? 0.5 : 0, 1e-5) << i;
    EXPECT_NEAR(thread->bins[i].runnable, i >= 2 && i < 5 ? 0.25 : 0, 1e-5) << i;
    EXPECT_NEAR(thread->bins[i].alive, i >= 2 && i < 5 ? 1 : 0, 1e-5) << i;
    EXPECT_NEAR(timeline.process[i].cpu, i < 2 ? 1 : i < 5 ? 0.5 : 0, 1e-5) << i;
    EXPECT_EQ(timeline.process[i].alive_threads, i >= 2 && i < 5 ? 2u : 1u) << i;
  }
  EXPECT_NEAR(timeline.process[0].machine_busy, 0.5, 0.01) << "one of four CPUs, and a quarter by others";
  EXPECT_NEAR(timeline.process[3].machine_busy, 0.375, 0.01);
}

// One counter at the end, samples in between: the samples say when.
TEST(Timeline, SamplesPlaceWhatCountersSum) {
  TraceBuilder builder;
  const auto stack = builder.stack({"main"});
  builder.add(trace::CpuAggregate{.end_ms = 1000, .span_ms = 1000, .thread = 1, .stack = stack, .samples = 100, .weight_ns = kSecond});
  builder.add(trace::CpuAggregate{.end_ms = 4000, .span_ms = 1000, .thread = 1, .stack = stack, .samples = 50, .weight_ns = kSecond / 2});
  builder.add(trace::ThreadState{.thread = 1, .t = 4 * kSecond, .cpu_ns = 3 * kSecond / 2});
  const Timeline timeline = Timeline::build(read(builder));
  std::vector<double> bins;
  for (const auto& bin : timeline.find(1)->bins) bins.push_back(static_cast<double>(bin.running));
  EXPECT_THAT(bins, ::testing::Pointwise(::testing::DoubleNear(1e-5), {1.0, 0.0, 0.0, 0.5}));
}

TEST(Timeline, WithoutSamplesCountersAreSpreadEvenly) {
  TraceBuilder builder;
  builder.add(trace::ThreadState{.thread = 1, .t = 4 * kSecond, .cpu_ns = 2 * kSecond, .run_delay_ns = kSecond});
  const Timeline timeline = Timeline::build(read(builder));
  for (const auto& bin : timeline.find(1)->bins) {
    EXPECT_NEAR(bin.running, 0.5, 1e-5);
    EXPECT_NEAR(bin.runnable, 0.25, 1e-5);
  }
}

TEST(Timeline, SumsEqualTheClocks) {
  TraceBuilder builder;
  const auto stack = builder.stack({"main"});
  builder.run(1, 0.3, 7.9, stack, {.busy = 0.7}).finish(9.25);
  const Timeline timeline = Timeline::build(read(builder));
  EXPECT_NEAR(running(*timeline.find(1)), 7.6 * 0.7, 1e-3);
}

TEST(Timeline, AWindowIsATimelineOfItsOwn) {
  TraceBuilder builder;
  const auto stack = builder.stack({"main"});
  builder.run(1, 0, 10, stack, {.busy = 0.5}).finish(10);
  const Timeline timeline = Timeline::build(read(builder, {.from_ns = 2 * kSecond + kSecond / 2, .to_ns = 6 * kSecond}));
  ASSERT_EQ(timeline.process.size(), 4u);
  EXPECT_DOUBLE_EQ(timeline.process[0].start, 2.5);
  EXPECT_DOUBLE_EQ(timeline.process[0].length, 0.5);
  EXPECT_DOUBLE_EQ(timeline.wall_seconds, 3.5);
  EXPECT_NEAR(running(*timeline.find(1)), 1.75, 1e-3);
}

TEST(Timeline, AQuotaLimitsTheCpus) {
  TraceBuilder builder(8);
  builder.add(trace::CgroupState{.t = kSecond, .cpu_quota_ns = 150'000'000, .cpu_period_ns = 100'000'000, .throttled_ns = kSecond});
  builder.add(trace::CgroupState{.t = 3 * kSecond, .cpu_quota_ns = 150'000'000, .cpu_period_ns = 100'000'000, .throttled_ns = 2 * kSecond});
  builder.finish(4);
  const Timeline timeline = Timeline::build(read(builder));
  EXPECT_DOUBLE_EQ(timeline.cpus, 1.5);
  EXPECT_NEAR(timeline.process[1].throttled, 0.5, 1e-9);
  EXPECT_NEAR(timeline.process[2].throttled, 0.5, 1e-9);
  EXPECT_EQ(timeline.process[0].throttled, 0);
}

TEST(Timeline, ShortLivedThreadsCount) {
  TraceBuilder builder;
  const auto stack = builder.stack({"start", "job"});
  builder.add(trace::ThreadGroup{.t = 2 * kSecond, .count = 1000, .lifetime_ns = 3 * kSecond, .cpu_ns = kSecond, .run_delay_ns = kSecond / 4});
  builder.add(trace::CpuAggregate{.end_ms = 2000, .span_ms = 1000, .thread = 0, .stack = stack, .samples = 20, .weight_ns = kSecond / 10});
  builder.finish(3);
  const Timeline timeline = Timeline::build(read(builder));
  EXPECT_NEAR(timeline.process[1].cpu, 1, 1e-6);
  EXPECT_NEAR(timeline.process[1].run_delay, 0.25, 1e-6);
  EXPECT_EQ(timeline.process[1].alive_threads, 4u) << "three at a time, and the main thread";
}

TEST(Timeline, AVeryLongRecordingHasLongerBins) {
  TraceBuilder builder;
  builder.add(trace::ThreadState{.thread = 1, .t = 40'000'000 * kSecond, .cpu_ns = 10'000'000 * kSecond});
  const Timeline timeline = Timeline::build(read(builder));
  EXPECT_LE(timeline.process.size(), 200'001u);
  EXPECT_GT(timeline.bin_seconds, 1);
  EXPECT_NEAR(running(*timeline.find(1)), 1e7, 1e3);
}

TEST(Timeline, AnUnfinishedRecordingCountsTheSamplesAfterTheLastCounter) {
  TraceBuilder builder;
  const auto stack = builder.stack({"main"});
  builder.add(trace::ThreadState{.thread = 1, .t = 2 * kSecond, .cpu_ns = 2 * kSecond});
  builder.run(1, 0, 3, stack);
  const Timeline timeline = Timeline::build(read_recording_image(builder.image_bytes(false), "test.tbk"));
  EXPECT_NEAR(running(*timeline.find(1)), 3, 1e-3);
}

TEST(Timeline, NothingGivesNothing) {
  const Timeline timeline = Timeline::build(Recording{});
  EXPECT_TRUE(timeline.process.empty());
  EXPECT_EQ(timeline.cpus, 1);
}

}  // namespace
}  // namespace tailback::analyzers
