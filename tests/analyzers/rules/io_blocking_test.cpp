// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::io_blocking;
using analyzers::Severity;
using trace::Call;
using ::testing::HasSubstr;

TEST(IoBlocking, AnEventLoopThatReadsFilesIsHigh) {
  TraceBuilder builder;
  const auto stack = builder.stack({"main", "serve_file"});
  builder.calls({.call = Call::epoll_wait, .stack = builder.stack({"main"}), .calls = 1000, .each = 0.0022, .to = 4});
  builder.calls({.call = Call::pread, .object = builder.file("/srv/video"), .stack = stack, .calls = 300, .each = 0.005, .bytes_each = 1e5, .to = 4});
  builder.run(1, 0, 4, stack, {.busy = 0.05});
  const auto result = io_blocking(*model_of(builder.finish(4)));
  ASSERT_EQ(result.findings.size(), 1u);
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.severity, Severity::high);
  EXPECT_EQ(finding.gain.metric, "latency") << "the program waits for requests most of the time";
  EXPECT_EQ(finding.culprit.function, "serve_file");
  EXPECT_THAT(evidence_text(finding, "on"), HasSubstr("/srv/video"));
  EXPECT_NEAR(evidence_number(finding, "time blocked"), 1.5, 0.01);
  EXPECT_THAT(finding.advice[0], HasSubstr("pool"));
}

TEST(IoBlocking, ReadingAheadHidesWhatComputingCovers) {
  TraceBuilder builder;
  const auto stack = builder.stack({"main", "scan"});
  builder.calls({.call = Call::read, .object = builder.file("/data/big"), .stack = stack, .calls = 1000, .each = 0.002, .bytes_each = 8192, .to = 4});
  builder.run(1, 0, 4, stack, {.busy = 0.2});
  const auto result = io_blocking(*model_of(builder.finish(4)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].severity, Severity::medium) << "what depends on what is not known";
  EXPECT_NEAR(result.findings[0].gain.fraction, 0.2, 0.01);
  EXPECT_NEAR(result.findings[0].gain.high, 0.5, 0.01);
  EXPECT_EQ(result.findings[0].gain.low, 0);
}

TEST(IoBlocking, LargeReadsKeepStorageBusyAsItIs) {
  TraceBuilder builder;
  const auto stack = builder.stack({"main", "copy_all"});
  builder.calls({.call = Call::read, .object = builder.file("/data/big"), .stack = stack, .calls = 1000, .each = 0.002, .bytes_each = 131072, .to = 4});
  builder.run(1, 0, 4, stack, {.busy = 0.3});
  for (const auto& finding : io_blocking(*model_of(builder.finish(4))).findings) EXPECT_LE(finding.severity, Severity::low);
}

TEST(IoBlocking, AnEventLoopsNonBlockingSocketsCannotBlock) {
  TraceBuilder builder;
  const auto client = builder.endpoint("0.0.0.0:6379", {.kind = trace::EndpointKind::tcp_accepted, .flags = trace::kNonBlocking});
  builder.calls({.call = Call::epoll_wait, .stack = builder.stack({"main"}), .calls = 10000, .each = 0.00018, .to = 4});
  builder.calls({.call = Call::write, .object = client, .stack = builder.stack({"main", "reply"}), .calls = 20000, .each = 25e-6, .bytes_each = 100, .to = 4});
  builder.run(1, 0, 4, builder.stack({"main", "reply"}), {.busy = 0.5, .system = 0.6});
  EXPECT_TRUE(io_blocking(*model_of(builder.finish(4))).findings.empty());
}

TEST(IoBlocking, NameLookupsAreWorthKeeping) {
  TraceBuilder builder;
  builder.calls({.call = Call::name_lookup, .stack = builder.stack({"main", "dial"}), .calls = 200, .each = 0.005, .to = 4});
  const auto result = io_blocking(*model_of(builder.finish(4)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_NEAR(result.findings[0].gain.fraction, 0.25, 0.01);
  EXPECT_THAT(result.findings[0].advice[0], HasSubstr("resolve each name once"));
}

TEST(IoBlocking, CopiesFromMemoryAreNoWaiting) {
  TraceBuilder builder;
  const auto stack = builder.stack({"main", "load"});
  builder.calls({.call = Call::read, .object = builder.file("/data/big"), .stack = stack, .calls = 5000, .each = 0.0003, .bytes_each = 1 << 20, .to = 4});
  builder.run(1, 0, 4, stack, {.busy = 0.6, .system = 0.7});
  const auto result = io_blocking(*model_of(builder.finish(4)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_FALSE(result.fine.empty());
}

TEST(IoBlocking, FlushesSleepsAndPeersAreLeftToTheirRules) {
  TraceBuilder builder;
  const auto stack = builder.stack({"main", "step"});
  builder.flushes(1, builder.file("/data/a"), stack, 100, 0.01, 4);
  builder.calls({.call = Call::recv, .object = builder.peer("10.0.0.1:80"), .stack = stack, .calls = 100, .each = 0.01, .to = 4});
  builder.calls({.call = Call::sleep, .stack = stack, .calls = 100, .each = 0.01, .to = 4});
  EXPECT_TRUE(io_blocking(*model_of(builder.finish(4))).findings.empty());
}

TEST(IoBlocking, WithoutRecordsOfCallsItIsNotApplicable) {
  EXPECT_FALSE(io_blocking(*model_of(TraceBuilder().finish(1))).not_applicable.empty());
}

}  // namespace
}  // namespace tailback::testing
