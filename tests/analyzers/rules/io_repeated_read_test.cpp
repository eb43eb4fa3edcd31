// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::io_repeated_read;
using analyzers::Severity;
using trace::Call;
using ::testing::HasSubstr;

// Each request opens the file, reads it in one call, and parses it.
TraceBuilder reads_settings(const char* name, std::uint64_t size, double parse) {
  TraceBuilder builder;
  const auto file = builder.file(name, size), where = builder.stack({"main", "handle", "load_settings"});
  builder.calls({.call = Call::open, .object = file, .stack = where, .calls = 20000, .each = 10e-6, .to = 2});
  builder.calls({.call = Call::read, .object = file, .stack = where, .calls = 40000, .each = 5e-6, .bytes_each = 250, .to = 2});
  builder.turns(file, {.opened = 20000, .to = 2});
  builder.run(1, 0, 2, builder.stack({"main", "handle", "load_settings", "read"}), {.busy = 0.2, .system = 0.3});
  builder.run(1, 0, 2, where, {.busy = parse}).run(1, 0, 2, builder.stack({"main", "handle"}), {.busy = 0.78 - parse});
  return builder;
}

TEST(IoRepeatedRead, ASettingsFileForEachRequest) {
  const auto result = io_repeated_read(*model_of(reads_settings("/etc/app.conf", 500, 0.3).finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.severity, Severity::high);
  EXPECT_EQ(finding.culprit.function, "load_settings");
  EXPECT_EQ(evidence_text(finding, "file"), "/etc/app.conf");
  EXPECT_EQ(evidence_number(finding, "times read in full"), 20000);
  EXPECT_NEAR(finding.gain.fraction, 0.5, 0.01) << "calls and parsing";
  EXPECT_LT(finding.gain.low, 0.2) << "the calls alone are certain";
}

// A file of 10 MB that the program wrote, then read in steps of 32 KiB with seeks between them.
analyzers::RuleResult sought_within(double reads) {
  TraceBuilder builder;
  const auto file = builder.file("/var/tape", 0), where = builder.stack({"main", "index_tape", "read_header"});
  builder.calls({.call = Call::write, .object = file, .stack = builder.stack({"main", "record_tape"}), .calls = 100, .each = 50e-6, .bytes_each = 1e5, .to = 2});
  builder.calls({.call = Call::read, .object = file, .stack = where, .calls = reads, .each = 1e-6, .bytes_each = 32768, .to = 2});
  builder.turns(file, {.opened = 2, .to = 2});
  builder.run(1, 0, 2, where, {.busy = 0.3, .system = 0.5});
  return io_repeated_read(*model_of(builder.finish(2)));
}

TEST(IoRepeatedRead, WithinOneOpeningOnlyTheCallsCount) {
  const auto result = sought_within(1e6);
  ASSERT_EQ(result.findings.size(), 1u);
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.culprit.function, "read_header");
  EXPECT_NEAR(evidence_number(finding, "times read in full"), 3277, 1);
  EXPECT_NEAR(finding.gain.fraction, 0.5, 0.01);
  EXPECT_THAT(finding.advice[0], HasSubstr("32 KiB"));
  EXPECT_TRUE(sought_within(5000).findings.empty()) << "16 passes over what was written may be news";
}

TEST(IoRepeatedRead, SamplesInsideTheCallsDoNotCountBesideTheirClocks) {
  auto builder = reads_settings("/etc/app.conf", 500, 0.1);
  builder.run(1, 0, 2, builder.stack({"main", "handle", "load_settings", "read"}), {.busy = 0.1});
  const auto result = io_repeated_read(*model_of(builder.finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_NEAR(result.findings[0].gain.fraction, 0.3, 0.01) << "more samples than the calls took are chance";
}

TEST(IoRepeatedRead, WithoutASizeOpeningsCount) {
  const auto result = io_repeated_read(*model_of(reads_settings("/etc/app.conf", 0, 0).finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_NEAR(result.findings[0].gain.fraction, 0.2, 0.01);
}

TEST(IoRepeatedRead, ALargeFileReadOnceIsFine) {
  const auto result = io_repeated_read(*model_of(reads_settings("/data/table", 10'000'000, 0).finish(2)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.fine, HasSubstr("no file"));
}

TEST(IoRepeatedRead, FilesOfTheKernelChangeByThemselves) {
  EXPECT_TRUE(io_repeated_read(*model_of(reads_settings("/proc/self/stat", 0, 0.3).finish(2))).findings.empty());
}

TEST(IoRepeatedRead, AFileThatIsWrittenMustBeReadAgain) {
  auto builder = reads_settings("/data/state", 500, 0.3);
  builder.calls({.call = Call::write, .object = builder.file("/data/state"), .calls = 2000, .each = 1e-6, .bytes_each = 500});
  EXPECT_TRUE(io_repeated_read(*model_of(builder.finish(2))).findings.empty());
}

TEST(IoRepeatedRead, WithoutRecordsOfCallsItIsNotApplicable) {
  EXPECT_FALSE(io_repeated_read(*model_of(TraceBuilder().finish(1))).not_applicable.empty());
}

}  // namespace
}  // namespace tailback::testing
