// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::io_sync_flush;
using analyzers::Severity;
using trace::Call;
using ::testing::HasSubstr;

// One thread that writes a record, flushes it, and computes for the rest of the time.
TraceBuilder flush_per_record(double count, double each, double seconds) {
  TraceBuilder builder;
  const auto file = builder.file("/data/orders.log");
  const auto stack = builder.stack({"main", "store_record"});
  builder.flushes(1, file, stack, count, each, seconds);
  builder.run(1, 0, seconds, stack, {.busy = 1 - count * each / seconds});
  return builder;
}

TEST(IoSyncFlush, AFlushForEachRecordIsHighAndNamesTheFile) {
  const auto result = io_sync_flush(*model_of(flush_per_record(1000, 0.0018, 2).finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.severity, Severity::high);
  EXPECT_EQ(finding.culprit.function, "store_record");
  EXPECT_EQ(evidence_text(finding, "file"), "/data/orders.log");
  EXPECT_EQ(finding.gain.metric, "wall_time");
  EXPECT_NEAR(finding.gain.fraction, 0.9, 0.01);
  EXPECT_NEAR(evidence_number(finding, "one flush, mean"), 0.0018, 1e-5);
  EXPECT_THAT(finding.advice.front(), HasSubstr("500 records"));
  EXPECT_EQ(finding.stacks.front().role, "blocked");
}

TEST(IoSyncFlush, GainFollowsTheBatchThatTheRateAllows) {
  // 40 records a second beside the flushes: four come within a tenth of a second, rounded down to two.
  const auto result = io_sync_flush(*model_of(flush_per_record(80, 0.010, 4).finish(4)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_NEAR(result.findings[0].gain.fraction, 0.2 * 0.5, 0.01);
}

TEST(IoSyncFlush, ALogLineASecondIsClean) {
  const auto result = io_sync_flush(*model_of(flush_per_record(10, 0.020, 10).finish(10)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.fine, HasSubstr("10 flushes"));
}

TEST(IoSyncFlush, ADatabaseAndItsJournalAreOneCommit) {
  TraceBuilder builder;
  const auto journal = builder.file("/data/shop.db-journal"), database = builder.file("/data/shop.db");
  const auto folder = builder.endpoint("/data", {.kind = trace::EndpointKind::directory});
  const auto sync = builder.stack({"main", "insert", "sync_file"}), other = builder.stack({"main", "insert", "sync_folder"});
  builder.flushes(1, journal, sync, 400, 0.001).flushes(1, database, sync, 400, 0.0005).flushes(1, folder, other, 400, 0.0004);
  builder.calls({.call = Call::unlink, .object = journal, .stack = other, .calls = 400, .each = 0.0001});
  builder.run(1, 0, 1, sync, {.busy = 0.2});
  const auto result = io_sync_flush(*model_of(builder.finish(1)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(evidence_text(result.findings[0], "file"), "/data/shop.db");
  EXPECT_THAT(evidence_text(result.findings[0], "also flushed"), HasSubstr("shop.db-journal"));
  EXPECT_EQ(evidence_number(result.findings[0], "flushes"), 1200);
  EXPECT_NEAR(result.findings[0].gain.fraction, 0.8, 0.02) << "removing the journal goes with the commit";
}

TEST(IoSyncFlush, ABackgroundThreadThatNobodyWaitsForStaysLow) {
  TraceBuilder builder;
  const auto flusher = builder.thread({.name = "flusher", .start_routine = "flush_all"});
  builder.run(1, 0, 4, builder.stack({"main", "serve"}), {.busy = 0.95});
  builder.flushes(flusher, builder.file("/data/aof"), builder.stack({"flush_all"}), 400, 0.004, 4);
  const auto result = io_sync_flush(*model_of(builder.finish(4)));
  for (const auto& finding : result.findings) EXPECT_LE(finding.severity, Severity::low);
}

TEST(IoSyncFlush, SeveralWritersShareTheGain) {
  TraceBuilder builder;
  const auto file = builder.file("/data/wal");
  for (int i = 0; i < 3; ++i) {
    const auto writer = builder.thread({.name = "writer", .start_routine = "write_all"});
    builder.flushes(writer, file, builder.stack({"write_all"}), 400, 0.004, 4).run(writer, 0, 4, builder.stack({"write_all"}), {.busy = 0.5});
  }
  const auto result = io_sync_flush(*model_of(builder.finish(4)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_NEAR(result.findings[0].gain.fraction, 0.4, 0.02);
  EXPECT_THAT(result.findings[0].advice[1], HasSubstr("one thread flush for all"));
}

TEST(IoSyncFlush, SynchronousFilesFlushWithEachWrite) {
  TraceBuilder builder;
  const auto file = builder.endpoint("/data/log", {.flags = trace::kSynchronous});
  const auto stack = builder.stack({"main", "append"});
  builder.calls({.call = Call::write, .object = file, .stack = stack, .calls = 500, .each = 0.001, .bytes_each = 100}).run(1, 0, 1, stack, {.busy = 0.5});
  const auto result = io_sync_flush(*model_of(builder.finish(1)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_THAT(result.findings[0].advice[1], HasSubstr("O_SYNC"));
}

TEST(IoSyncFlush, WithoutRecordsOfCallsItIsNotApplicable) {
  TraceBuilder old;
  old.run(1, 0, 1, old.stack({"main"}));
  EXPECT_THAT(io_sync_flush(*model_of(old.finish(1))).not_applicable, HasSubstr("no calls"));
  TraceBuilder off;
  off.add(trace::Option{.name = "io", .value = "off"});
  EXPECT_THAT(io_sync_flush(*model_of(off.finish(1))).not_applicable, HasSubstr("--io off"));
}

}  // namespace
}  // namespace tailback::testing
