// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::io_small_operations;
using analyzers::Severity;
using trace::Call;
using trace::EndpointKind;
using ::testing::HasSubstr;

TraceBuilder small_calls(Call call, EndpointSpec spec, double count, double each, double bytes, double seconds = 2) {
  TraceBuilder builder;
  const auto stack = builder.stack({"main", "emit_record"});
  builder.calls({.call = call, .object = builder.endpoint("/data/out", spec), .stack = stack, .calls = count, .each = each, .bytes_each = bytes, .to = seconds});
  builder.run(1, 0, seconds, stack, {.busy = 1, .system = 0.3});
  return builder;
}

TEST(IoSmallOperations, UnbufferedWritesAreHighAndGetABuffer) {
  const auto result = io_small_operations(*model_of(small_calls(Call::write, {}, 1e6, 800e-9, 40).finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.severity, Severity::high);
  EXPECT_EQ(finding.culprit.function, "emit_record");
  EXPECT_NEAR(finding.gain.fraction, 0.4 - 0.005, 0.003) << "the bytes are copied all the same";
  EXPECT_EQ(evidence_number(finding, "buffer that the amounts seen call for"), 65536);
  EXPECT_EQ(evidence_number(finding, "calls with it"), 611);
  EXPECT_THAT(finding.title, HasSubstr("/data/out"));
  EXPECT_THAT(finding.advice[0], HasSubstr("64 KiB"));
}

TEST(IoSmallOperations, TheBufferFitsWhatThereIsToRead) {
  auto builder = small_calls(Call::read, {}, 500000, 400e-9, 1);
  builder.turns(builder.file("/data/out"), {.opened = 100});
  const auto result = io_small_operations(*model_of(builder.finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(evidence_number(result.findings[0], "buffer that the amounts seen call for"), 8192);
  EXPECT_THAT(result.findings[0].advice[0], HasSubstr("read 8 KiB"));
}

TEST(IoSmallOperations, LargeCallsSayWhatAByteCosts) {
  auto builder = small_calls(Call::write, {}, 100000, 5e-6, 1000);
  builder.calls({.call = Call::write, .object = builder.file("/data/big"), .stack = builder.stack({"main"}), .calls = 1000, .each = 19e-6, .bytes_each = 65536});
  const auto result = io_small_operations(*model_of(builder.finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_THAT(result.findings[0].gain.how, HasSubstr("large calls of this recording"));
}

TEST(IoSmallOperations, CpuTimeSampledInsideTheCallsCountsWhereItIsMore) {
  TraceBuilder builder;
  const auto where = builder.stack({"main", "emit_record"});
  builder.calls({.call = Call::write, .object = builder.file("/data/out"), .stack = where, .calls = 1e6, .each = 300e-9, .bytes_each = 40, .to = 2});
  builder.run(1, 0, 2, builder.stack({"main", "emit_record", "write"}), {.busy = 0.4}).run(1, 0, 2, builder.stack({"main", "compute"}), {.busy = 0.6});
  const auto result = io_small_operations(*model_of(builder.finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_NEAR(result.findings[0].gain.fraction, 0.395, 0.005);
}

TEST(IoSmallOperations, FlushingTheStreamCountsAsPartOfTheCalls) {
  TraceBuilder builder;
  const std::vector<std::string> flushing = {"main", "print_line", "std::ostream::flush()", "std::basic_filebuf<char, std::char_traits<char> >::sync()"};
  builder.calls({.call = Call::write, .object = builder.file("/data/out"), .stack = builder.stack(flushing), .calls = 1e6, .each = 300e-9, .bytes_each = 40, .to = 2});
  builder.run(1, 0, 2, builder.stack(flushing), {.busy = 0.5}).run(1, 0, 2, builder.stack({"main", "format_line"}), {.busy = 0.25, .waiting = 0.25});
  const auto result = io_small_operations(*model_of(builder.finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].culprit.function, "print_line");
  EXPECT_NEAR(result.findings[0].gain.fraction, 0.5 / 0.75 - 0.005, 0.01) << "its part of the CPU time is its part of the wait for a CPU";
}

TEST(IoSmallOperations, BufferedOutputIsClean) {
  EXPECT_TRUE(io_small_operations(*model_of(small_calls(Call::write, {}, 20000, 2e-5, 65536).finish(2))).findings.empty());
  EXPECT_TRUE(io_small_operations(*model_of(small_calls(Call::write, {}, 20000, 4e-6, 4096).finish(2))).findings.empty());
}

TEST(IoSmallOperations, FewSmallCallsAreClean) {
  const auto result = io_small_operations(*model_of(small_calls(Call::write, {}, 1000, 2e-6, 80, 10).finish(10)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.fine, HasSubstr("1000 calls"));
}

TEST(IoSmallOperations, WaitingForASlowWriterOfAPipeIsNotAboutSize) {
  EXPECT_TRUE(io_small_operations(*model_of(small_calls(Call::read, {.kind = EndpointKind::pipe}, 2000, 900e-6, 100).finish(2))).findings.empty());
}

TEST(IoSmallOperations, MessagesOnConnectionsAreSmallByNature) {
  auto builder = small_calls(Call::send, {.kind = EndpointKind::tcp_peer}, 100000, 6e-6, 50);
  builder.turns(builder.peer("/data/out"), {.opened = 1, .turns = 100000, .each = 8e-6, .to = 2});
  EXPECT_TRUE(io_small_operations(*model_of(builder.finish(2))).findings.empty());
}

TEST(IoSmallOperations, AStreamInPiecesOnAConnectionWantsOneWritev) {
  auto builder = small_calls(Call::send, {.kind = EndpointKind::tcp_peer}, 100000, 6e-6, 50);
  builder.turns(builder.peer("/data/out"), {.opened = 1, .turns = 100, .each = 8e-6, .to = 2});
  const auto result = io_small_operations(*model_of(builder.finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_THAT(result.findings[0].advice[0], HasSubstr("writev"));
}

TEST(IoSmallOperations, MessagesThatGoOutOneByOneToManyAreNoStream) {
  for (const double apart : {0.1, 0.9}) {
    TraceBuilder builder;
    const auto client = builder.endpoint("client", {.kind = EndpointKind::tcp_accepted});
    builder.calls({.call = Call::send, .object = client, .stack = builder.stack({"main", "publish", "send_update"}), .calls = 200'000, .each = 4e-6, .bytes_each = 300, .apart = apart * 200'000, .to = 2});
    builder.turns(client, {.opened = 60, .turns = 60, .each = 8e-6, .to = 2});
    EXPECT_EQ(io_small_operations(*model_of(builder.finish(2))).findings.size(), apart < 0.5 ? 1u : 0u) << apart;
  }
}

TEST(IoSmallOperations, WithoutRecordsOfCallsItIsNotApplicable) {
  EXPECT_FALSE(io_small_operations(*model_of(TraceBuilder().finish(1))).not_applicable.empty());
}

}  // namespace
}  // namespace tailback::testing
