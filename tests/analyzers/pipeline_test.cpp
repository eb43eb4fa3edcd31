// SPDX-License-Identifier: Apache-2.0
// The whole offline half on synthetic dumps: what ran, how it fared, what is said about the recording, several dumps.
#include "analyzers/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "analyzers/analyzer.h"
#include "tests/support/trace_builder.h"

namespace tailback::analyzers {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using testing::kSecond;
using testing::TraceBuilder;

class Pipeline : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "tailback-pipeline-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::vector<std::uint8_t>& bytes) {
    testing::write_file((folder_ / name).string(), bytes);
    return (folder_ / name).string();
  }
  Report report(const std::vector<std::string>& dumps, const AnalysisOptions& options = {}) {
    const auto model = load_model(dumps, options);
    return analyze(*model, options);
  }
  Report report(const TraceBuilder& builder, const AnalysisOptions& options = {}, bool ended = true) {
    return report({write("one.tbk", builder.image_bytes(ended))}, options);
  }
  std::filesystem::path folder_;
};

TraceBuilder busy_program() {
  TraceBuilder builder(4);
  const auto worker = builder.thread({.name = "worker", .start = 1, .start_routine = "work", .creation_stack = {"main", "start"}});
  builder.run(1, 0, 10, builder.stack({"main", "read_input", "parse"}), {.busy = 0.5, .system = 0.2});
  builder.run(worker, 1, 9, builder.stack({"start_thread", "work", "encode"}), {.busy = 0.25, .waiting = 0.1}).end_thread(worker, 9);
  builder.finish(10);
  return builder;
}

TEST_F(Pipeline, TargetAndSummary) {
  auto builder = busy_program();
  builder.add(trace::ExitStatus{.exited = 1, .status = 3, .wall_ns = 10 * kSecond});
  const Report result = report(builder);
  EXPECT_THAT(result.target.command, ElementsAre("/usr/bin/program", "--flag"));
  EXPECT_EQ(result.target.pid, 4242u);
  EXPECT_EQ(result.target.exit_status, 3);
  EXPECT_EQ(result.target.started_at, "2026-01-01T00:00:00Z");
  EXPECT_DOUBLE_EQ(result.target.duration_seconds, 10);
  EXPECT_EQ(result.target.cpus, 4u);
  EXPECT_EQ(result.target.hostname, "host");
  EXPECT_TRUE(result.target.complete);
  EXPECT_DOUBLE_EQ(result.summary.wall_seconds, 10);
  EXPECT_NEAR(result.summary.cpu_seconds, 7, 1e-6);
  EXPECT_NEAR(result.summary.cpu_utilization, 7.0 / 40, 1e-6);
  EXPECT_EQ(result.summary.threads_peak, 2u);
  EXPECT_EQ(result.summary.rss_peak_bytes, 64u << 20);
  EXPECT_FALSE(result.summary.headline.empty());
}

TEST_F(Pipeline, Threads) {
  const Report result = report(busy_program());
  ASSERT_THAT(result.threads, SizeIs(2));
  const ThreadRow& main = result.threads[0];
  EXPECT_EQ(main.name, "program");
  EXPECT_NEAR(main.cpu_seconds, 5, 1e-6);
  EXPECT_NEAR(main.system_seconds, 1, 1e-6);
  EXPECT_NEAR(main.sampled_seconds, 5, 1e-6);
  const ThreadRow& worker = result.threads[1];
  EXPECT_EQ(worker.start_routine, "work");
  EXPECT_DOUBLE_EQ(worker.start_seconds, 1);
  EXPECT_DOUBLE_EQ(worker.end_seconds, 9);
  ASSERT_TRUE(worker.run_delay_seconds.has_value());
  EXPECT_NEAR(*worker.run_delay_seconds, 0.8, 1e-6);
  ASSERT_THAT(worker.creation_stack, SizeIs(2));
  EXPECT_EQ(worker.creation_stack[0].function, "start");
}

TEST_F(Pipeline, EveryRuleReportsWhatItLookedAt) {
  const Report result = report(busy_program());
  ASSERT_EQ(result.rules.size(), registry().size());
  for (std::size_t i = 0; i < result.rules.size(); ++i) {
    EXPECT_EQ(result.rules[i].rule, registry()[i].id);
    EXPECT_FALSE(result.rules[i].detail.empty()) << result.rules[i].rule;
  }
  EXPECT_THAT(report(busy_program(), {.rules = {"cpu-spin"}}).rules, SizeIs(1));
}

TEST_F(Pipeline, MinimalSeverityHidesFindingsButNotTheHealth) {
  const Report all = report(busy_program());
  ASSERT_THAT(all.findings, Not(IsEmpty())) << "parse takes most of the CPU time";
  const Report critical = report(busy_program(), {.min_severity = Severity::critical});
  EXPECT_THAT(critical.findings, IsEmpty());
  EXPECT_EQ(critical.summary.health, all.summary.health);
  EXPECT_EQ(critical.summary.headline, all.summary.headline);
}

TEST_F(Pipeline, IdleProgramsAreHealthy) {
  TraceBuilder builder;
  builder.run(1, 0, 10, builder.stack({"main", "poll"}), {.busy = 0.001}).finish(10);
  const Report result = report(builder);
  EXPECT_EQ(result.summary.health, "healthy");
  EXPECT_THAT(result.summary.headline, HasSubstr("Nothing to fix"));
}

TEST_F(Pipeline, WaitingAndIo) {
  TraceBuilder builder;
  const auto stack = builder.stack({"main", "insert"});
  builder.flushes(1, builder.file("/data/shop.db"), stack, 1000, 0.004, 5).run(1, 0, 5, stack, {.busy = 0.19});
  const auto idle = builder.thread({.name = "idle"});
  builder.calls({.thread = idle, .call = trace::Call::cond_wait, .object = 0x10, .stack = builder.stack({"next"}), .calls = 10, .each = 0.49, .to = 5});
  const Report result = report(builder.finish(5));
  ASSERT_THAT(result.findings, Not(IsEmpty()));
  EXPECT_EQ(result.findings[0].rule, "io-sync-flush");
  EXPECT_THAT(result.summary.headline, HasSubstr("/data/shop.db"));
  ASSERT_THAT(result.io, SizeIs(1));
  EXPECT_EQ(result.io[0].name, "/data/shop.db");
  EXPECT_EQ(result.io[0].operations[0].call, "fsync");
  EXPECT_EQ(result.io[0].calls, 1000u);
  EXPECT_NEAR(result.io[0].p50_seconds, 0.004, 0.0021);
  ASSERT_THAT(result.waiting, SizeIs(2));
  EXPECT_EQ(result.waiting[0].cause, "condition");
  EXPECT_NEAR(result.waiting[0].by_design_seconds, 4.9, 0.01);
  EXPECT_EQ(result.waiting[1].by_design_seconds, 0);
  ASSERT_THAT(result.threads[0].waiting, SizeIs(1));
  EXPECT_EQ(result.threads[0].role, "held up");
  EXPECT_EQ(result.threads[1].role, "idle worker");
  EXPECT_NEAR(result.threads[0].waiting[0].seconds + result.threads[0].cpu_seconds + *result.threads[0].unexplained_seconds, 5, 0.01);
}

TEST_F(Pipeline, AQuietServiceHasNothingToFix) {
  TraceBuilder builder;
  const auto log = builder.file("/var/log/service.log"), stack = builder.stack({"main", "log_line"});
  builder.calls({.call = trace::Call::epoll_wait, .stack = builder.stack({"main"}), .calls = 120, .each = 0.49, .to = 60});
  builder.calls({.call = trace::Call::write, .object = log, .stack = stack, .calls = 60, .each = 30e-6, .bytes_each = 90, .to = 60});
  builder.flushes(1, log, stack, 60, 0.01, 60).run(1, 0, 60, stack, {.busy = 0.002});
  const Report result = report(builder.finish(60));
  for (const Finding& finding : result.findings) EXPECT_LE(finding.severity, Severity::low) << finding.rule << ": " << finding.title;
  EXPECT_EQ(result.summary.health, "healthy");
}

TEST_F(Pipeline, QualityOfTheRecording) {
  TraceBuilder builder;
  const auto whole = builder.stack({"main", "work"}), cut = builder.stack_on(1, 0, {"work"}), folded = builder.stack_on(3, 0, {"deep"});
  builder.run(1, 0, 6, whole).run(1, 6, 8, cut).run(1, 8, 9, folded).run(1, 9, 10, whole, {.sampled = false});
  builder.add(trace::Loss{.t = 1, .what = "samples", .count = 7}).add(trace::Loss{.t = 2, .what = "samples", .count = 12});
  builder.add(trace::Loss{.t = 2, .what = "records", .count = 3});
  builder.add(trace::Overhead{.t = 9, .samples = 1, .handler_ns = 10'000'000, .delivery_ns = 20'000'000, .helper_cpu_ns = 30'000'000, .hook_ns = 40'000'000});
  builder.add(trace::Governor{.t = 3 * kSecond, .period_ns = 20'000'000, .reason = "budget"});
  builder.add(trace::Note{.t = 1, .text = "a word of the agent"});
  builder.thread({.name = "quiet", .flags = 4});
  builder.finish(10);
  const RecordingQuality quality = report(builder).recording;
  EXPECT_EQ(quality.dropped_events, 15u);
  EXPECT_NEAR(quality.truncated_stacks_fraction, 3.0 / 9, 1e-6);
  EXPECT_NEAR(quality.overhead_fraction, 0.01, 1e-9);
  EXPECT_GT(quality.dump_bytes, 4096u);
  EXPECT_THAT(quality.notes, AllOf(Contains("lost: 12 samples"), Contains("lost: 3 records"), Contains("a word of the agent"),
                                   Contains(AllOf(HasSubstr("20 ms"), HasSubstr("budget"))), Contains(HasSubstr("1 thread had no CPU timer")),
                                   Contains(AllOf(HasSubstr("1 s of CPU time"), HasSubstr("without a sample")))));
}

TEST_F(Pipeline, HowTheRecordingEnded) {
  TraceBuilder running;
  running.run(1, 0, 2, running.stack({"main"}));
  const Report broken = report(running, {}, false);
  EXPECT_FALSE(broken.target.complete);
  EXPECT_FALSE(broken.target.exit_status.has_value());
  EXPECT_THAT(broken.recording.notes, Contains(HasSubstr("at most the last second is missing")));
  running.add(trace::ExitStatus{.exited = 0, .status = 9});
  const Report killed = report(running, {}, false);
  EXPECT_EQ(killed.target.exit_status, 137);
  EXPECT_THAT(killed.recording.notes, Contains(HasSubstr("killed by SIGKILL")));
  EXPECT_THAT(report(busy_program()).recording.notes, Not(Contains(HasSubstr("is missing"))));
}

TEST_F(Pipeline, WindowsAndThreads) {
  const Report window = report(busy_program(), {.from_seconds = 2, .to_seconds = 6});
  EXPECT_DOUBLE_EQ(window.summary.wall_seconds, 4);
  EXPECT_NEAR(window.summary.cpu_seconds, 3, 1e-3);
  EXPECT_DOUBLE_EQ(window.target.duration_seconds, 10);
  const Report thread = report(busy_program(), {.thread = "worker"});
  EXPECT_NEAR(thread.summary.cpu_seconds, 2, 1e-6);
  EXPECT_THAT(thread.threads, SizeIs(1));
  EXPECT_THROW(report(busy_program(), {.thread = "nobody"}), InputError);
  EXPECT_THROW(report(busy_program(), {.from_seconds = 20}), InputError);
}

TEST_F(Pipeline, OfSeveralDumpsTheBusiestIsTheOneLookedAt) {
  TraceBuilder shell(2, "/bin/sh");
  shell.run(1, 0, 1, shell.stack({"main"}), {.busy = 0.1}).finish(10);
  const auto small = write("sh.tbk", shell.image_bytes()), big = write("big.tbk", busy_program().image_bytes());
  for (const auto& order : {std::vector{small, big}, std::vector{big, small}}) {
    const Report result = report(order);
    EXPECT_THAT(result.target.command, Contains("/usr/bin/program"));
    EXPECT_THAT(result.recording.notes, Contains(AllOf(HasSubstr("sh (pid 4242)"), HasSubstr("0.1 s"))));
  }
}

TEST_F(Pipeline, AnUnreadableDumpAmongOthersIsNamed) {
  const auto good = write("good.tbk", busy_program().image_bytes()), bad = write("bad.tbk", std::vector<std::uint8_t>(9000, 'x'));
  EXPECT_THAT(report({bad, good}).recording.notes, Contains(AllOf(HasSubstr("left out"), HasSubstr(bad))));
  EXPECT_THROW(report({bad}), InputError);
  EXPECT_THROW(report({bad, bad}), InputError);
  EXPECT_THROW(report(std::vector<std::string>{}), InputError);
}

TEST_F(Pipeline, ProgressIsTold) {
  std::vector<std::string> lines;
  report(busy_program(), {.progress = [&](const std::string& line) { lines.push_back(line); }});
  EXPECT_THAT(lines, Contains(HasSubstr("reading")));
  EXPECT_GT(lines.size(), registry().size());
}

// Whatever a damaged dump says, the analysis gives a report or an error, and figures that are numbers.
TEST_F(Pipeline, DamagedDumpsGiveReportsOrErrors) {
  std::mt19937_64 random(4711);
  const auto intact = busy_program().image_bytes(false);
  std::size_t used = 0;
  for (std::size_t i = 0; i < intact.size(); ++i)
    if (intact[i]) used = i;
  int analysed = 0;
  for (int round = 0; round < 150; ++round) {
    auto image = intact;
    for (int change = 0; change < 1 + round / 5; ++change) image[4096 + 32 + random() % (used - 4096)] = static_cast<std::uint8_t>(random());
    try {
      const Report result = report({write("damaged.tbk", image)});
      ++analysed;
      EXPECT_TRUE(std::isfinite(result.summary.cpu_seconds));
      EXPECT_TRUE(std::isfinite(result.summary.cpu_utilization));
      EXPECT_GE(result.summary.cpu_utilization, 0);
      EXPECT_LE(result.recording.truncated_stacks_fraction, 1);
      for (const auto& finding : result.findings) {
        EXPECT_GE(finding.gain.fraction, 0);
        EXPECT_LE(finding.gain.fraction, 1);
      }
    } catch (const InputError&) {
    }
  }
  EXPECT_GT(analysed, 50);
}

}  // namespace
}  // namespace tailback::analyzers
