// SPDX-License-Identifier: Apache-2.0
// The three rules about connections, on a client that asks and waits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::net_connection_churn;
using analyzers::net_delayed_ack;
using analyzers::net_slow_peer;
using analyzers::Severity;
using trace::Call;
using ::testing::HasSubstr;

// Asks `peer` and waits for each answer.
void talk(TraceBuilder& builder, std::uint64_t peer, double turns, double each, double request = 100, double seconds = 2) {
  const auto stack = builder.stack({"main", "ask"});
  builder.calls({.call = Call::send, .object = peer, .stack = stack, .calls = turns, .each = 5e-6, .bytes_each = request, .to = seconds});
  builder.calls({.call = Call::recv, .object = peer, .stack = stack, .calls = turns, .each = each, .bytes_each = 10 * request, .to = seconds});
}

TraceBuilder connection_for_each(double turns_on_each) {
  TraceBuilder builder;
  const auto peer = builder.peer("10.0.0.1:80"), stack = builder.stack({"main", "fetch"});
  builder.calls({.call = Call::connect, .object = peer, .stack = stack, .calls = 1000, .each = 400e-6, .to = 2});
  builder.calls({.call = Call::close, .object = peer, .stack = stack, .calls = 1000, .each = 50e-6, .to = 2});
  talk(builder, peer, 1000, 500e-6);
  builder.turns(peer, {.opened = 1000, .turns = 1000 * turns_on_each, .each = 500e-6, .to = 2});
  return builder;
}

TEST(NetConnectionChurn, AConnectionForEachRequest) {
  const auto result = net_connection_churn(*model_of(connection_for_each(1).finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.severity, Severity::medium);
  EXPECT_EQ(finding.culprit.function, "fetch");
  EXPECT_NEAR(finding.gain.fraction, 0.225, 0.002) << "calls that blocked say nothing about how long an accept takes";
  EXPECT_THAT(finding.title, HasSubstr("10.0.0.1:80"));
  EXPECT_THAT(finding.advice[0], HasSubstr("999 connections are saved"));
}

TEST(NetConnectionChurn, BeingLetInBelongsToIt) {
  for (const double first_each : {0.5e-3, 1.5e-3}) {
    TraceBuilder builder;
    const auto peer = builder.peer("10.0.0.1:5432"), stack = builder.stack({"main", "query"});
    builder.calls({.call = Call::connect, .object = peer, .stack = stack, .calls = 1000, .each = 50e-6, .to = 4});
    builder.calls({.call = Call::close, .object = peer, .stack = stack, .calls = 1000, .each = 50e-6, .to = 4});
    talk(builder, peer, 1000, 500e-6);
    builder.turns(peer, {.opened = 1000, .turns = 2000, .each = 500e-6, .first = 1000, .first_each = first_each, .to = 4});
    const auto result = net_connection_churn(*model_of(builder.finish(4)));
    if (first_each < 1e-3) {
      EXPECT_THAT(result.findings, ::testing::Each(::testing::Field(&analyzers::Finding::severity, ::testing::Le(Severity::low)))) << "a turn like the others answers a request";
      continue;
    }
    ASSERT_EQ(result.findings.size(), 1u);
    EXPECT_EQ(incomplete(result.findings[0]), "");
    EXPECT_NEAR(result.findings[0].gain.fraction, (1.5 + 0.15) / 4, 0.02);
    EXPECT_THAT(result.findings[0].title, HasSubstr("for 1000 requests"));
  }
}

TraceBuilder quick_connections(double setting_up) {
  TraceBuilder builder;
  const auto peer = builder.peer("127.0.0.1:80"), stack = builder.stack({"main", "fetch"});
  builder.calls({.call = Call::connect, .object = peer, .stack = stack, .calls = 20000, .each = 15e-6, .to = 2});
  builder.calls({.call = Call::close, .object = peer, .stack = stack, .calls = 20000, .each = 5e-6, .to = 2});
  builder.turns(peer, {.opened = 20000, .turns = 20000, .each = 40e-6, .to = 2});
  builder.run(1, 0, 2, builder.stack({"main", "fetch", "__GI_socket"}), {.busy = setting_up}).run(1, 0, 2, stack, {.busy = 0.55});
  return builder;
}

TEST(NetConnectionChurn, TheOtherSideAcceptsForAsLongAsACloseTakes) {
  const auto result = net_connection_churn(*model_of(quick_connections(0.04).finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  const auto& gain = result.findings[0].gain;
  EXPECT_NEAR(gain.fraction, 0.2 + 0.04 + 0.05, 0.01) << "calls, sockets set up, accepting";
  EXPECT_NEAR(gain.low, 0.8 * 0.24, 0.01);
  EXPECT_NEAR(gain.high, 0.24 + 0.2, 0.01) << "half of the turns";
}

TEST(NetConnectionChurn, SettingSocketsUpTakesNoLongerThanClosingThem) {
  const auto result = net_connection_churn(*model_of(quick_connections(0.15).finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_NEAR(result.findings[0].gain.fraction, 0.2 + 0.05 + 0.05, 0.01);
}

TEST(NetConnectionChurn, LookingTheNameUpEachTimeBelongsToIt) {
  auto builder = connection_for_each(1);
  builder.calls({.call = Call::name_lookup, .stack = builder.stack({"main", "fetch"}), .calls = 1000, .each = 200e-6, .to = 2});
  const auto result = net_connection_churn(*model_of(builder.finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_NEAR(result.findings[0].gain.fraction, 0.325, 0.002);
}

TEST(NetConnectionChurn, SeveralPeersOfOneFunctionAreOneSuggestion) {
  auto builder = connection_for_each(1);
  const auto other = builder.peer("10.0.0.2:80");
  builder.calls({.call = Call::connect, .object = other, .stack = builder.stack({"main", "fetch"}), .calls = 500, .each = 400e-6, .to = 2});
  builder.turns(other, {.opened = 500, .turns = 500, .each = 500e-6, .to = 2});
  const auto result = net_connection_churn(*model_of(builder.finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(evidence_number(result.findings[0], "connections"), 1500);
  EXPECT_NEAR(result.findings[0].gain.fraction, 0.325, 0.002);
}

TEST(NetConnectionChurn, ConnectionsThatCarryManyRequestsAreFine) {
  const auto result = net_connection_churn(*model_of(connection_for_each(20).finish(2)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.fine, HasSubstr("1000 connections"));
}

TEST(NetDelayedAck, TheSecondWriteIsNamed) {
  TraceBuilder builder;
  const auto peer = builder.peer("10.0.0.1:5000");
  talk(builder, peer, 45, 0.040);
  builder.turns(peer, {.opened = 1, .turns = 5, .each = 0.001, .delayed = 40, .delayed_each = 0.040, .delayed_stack = builder.stack({"main", "send_request"}), .to = 2});
  const auto result = net_delayed_ack(*model_of(builder.finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.severity, Severity::high);
  EXPECT_EQ(finding.culprit.function, "send_request");
  EXPECT_NEAR(finding.gain.fraction, 40 * 0.039 / 2, 0.01);
  EXPECT_THAT(finding.advice[0], HasSubstr("one writev"));
  EXPECT_THAT(finding.advice[1], HasSubstr("TCP_NODELAY"));
}

TEST(NetDelayedAck, TheFunctionThatMakesBothWritesIsNamed) {
  TraceBuilder builder;
  const auto peer = builder.peer("10.0.0.1:5000"), head = builder.stack({"main", "ask", "send_request", "send_head"}), body = builder.stack({"main", "ask", "send_request", "send_body"});
  for (const auto stack : {head, body}) builder.calls({.call = Call::send, .object = peer, .stack = stack, .calls = 40, .each = 5e-6, .bytes_each = 100, .to = 2});
  builder.turns(peer, {.opened = 1, .delayed = 40, .delayed_each = 0.046, .delayed_stack = body, .to = 2});
  const auto result = net_delayed_ack(*model_of(builder.finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].culprit.function, "send_request");
}

TEST(NetDelayedAck, WithoutOrdinaryTurnsWhatTheKernelHoldsBackIsSaved) {
  for (const auto& [turn, held_back] : {std::pair(0.050, 0.040), std::pair(0.210, 0.200)}) {
    TraceBuilder builder;
    const auto peer = builder.peer("10.0.0.1:5000");
    talk(builder, peer, 8, turn);
    builder.turns(peer, {.opened = 1, .delayed = 8, .delayed_each = turn, .delayed_stack = builder.stack({"main", "send_request"}), .to = 2});
    const auto result = net_delayed_ack(*model_of(builder.finish(2)));
    ASSERT_EQ(result.findings.size(), 1u);
    const auto& gain = result.findings[0].gain;
    EXPECT_NEAR(gain.fraction, 8 * (held_back + 0.002) / 2, 0.001) << "half a tick of the kernel's timers on top";
    EXPECT_LE(gain.low, 8 * held_back / 2 + 1e-9);
    EXPECT_NEAR(gain.high, std::min(1.0, 8 * (turn - 0.0005) / 2), 0.001) << "the answer itself may take no time";
  }
}

TEST(NetDelayedAck, SeveralPeersAskedByOneFunctionAreOneSuggestion) {
  TraceBuilder builder;
  for (const char* name : {"10.0.0.1:5000", "10.0.0.2:5000"}) {
    const auto peer = builder.peer(name);
    talk(builder, peer, 20, 0.040);
    builder.turns(peer, {.opened = 1, .delayed = 20, .delayed_each = 0.040, .delayed_stack = builder.stack({"main", "send_request"}), .to = 2});
  }
  const auto result = net_delayed_ack(*model_of(builder.finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_THAT(result.findings[0].title, HasSubstr("10.0.0.1:5000 and 1 other peer"));
  EXPECT_NEAR(result.findings[0].gain.fraction, 40 * 0.0395 / 2, 0.01);
}

TEST(NetDelayedAck, WithoutDelayedTurnsItIsFine) {
  TraceBuilder builder;
  const auto peer = builder.peer("10.0.0.1:5000");
  talk(builder, peer, 40, 0.040);
  builder.turns(peer, {.opened = 1, .turns = 40, .each = 0.040, .to = 2});
  const auto result = net_delayed_ack(*model_of(builder.finish(2)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.fine, HasSubstr("0 of 40"));
}

TraceBuilder three_backends(double slow, double request = 100) {
  TraceBuilder builder;
  for (int i = 0; i < 3; ++i) {
    const auto peer = builder.peer("127.0.0.1:900" + std::to_string(i));
    const double each = i == 1 ? slow : 0.002;
    talk(builder, peer, 100, each, i == 1 ? request : 100);
    builder.turns(peer, {.opened = 1, .turns = 100, .each = each, .to = 2});
  }
  return builder;
}

TEST(NetSlowPeer, OneOfThreeIsSlow) {
  const auto result = net_slow_peer(*model_of(three_backends(0.012).finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.severity, Severity::high);
  EXPECT_EQ(evidence_text(finding, "peer"), "127.0.0.1:9001");
  EXPECT_EQ(finding.culprit.function, "ask");
  EXPECT_NEAR(finding.gain.fraction, 100 * 0.010 / 2, 0.01);
}

TEST(NetSlowPeer, TheFunctionThatAsksAndWaitsIsNamed) {
  TraceBuilder builder;
  for (int i = 0; i < 3; ++i) {
    const auto peer = builder.peer("127.0.0.1:900" + std::to_string(i));
    const double each = i == 1 ? 0.012 : 0.002;
    builder.calls({.call = Call::send, .object = peer, .stack = builder.stack({"main", "ask_all", "send_message"}), .calls = 100, .each = 5e-6, .bytes_each = 100, .to = 2});
    builder.calls({.call = Call::recv, .object = peer, .stack = builder.stack({"main", "ask_all", "await_reply", "receive_message"}), .calls = 100, .each = each, .bytes_each = 100, .to = 2});
    builder.turns(peer, {.opened = 1, .turns = 100, .each = each, .to = 2});
  }
  const auto result = net_slow_peer(*model_of(builder.finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].culprit.function, "ask_all");
}

TEST(NetSlowPeer, AnEventLoopAroundBothIsNotNamed) {
  TraceBuilder builder;
  for (int i = 0; i < 3; ++i) {
    const auto peer = builder.peer("127.0.0.1:900" + std::to_string(i));
    const double each = i == 1 ? 0.012 : 0.002;
    builder.calls({.call = Call::send, .object = peer, .stack = builder.stack({"main", "on_request"}), .calls = 100, .each = 5e-6, .bytes_each = 100, .to = 2});
    builder.calls({.call = Call::recv, .object = peer, .stack = builder.stack({"main", "on_reply"}), .calls = 100, .each = each, .bytes_each = 100, .to = 2});
    builder.turns(peer, {.opened = 1, .turns = 100, .each = each, .to = 2});
  }
  const auto result = net_slow_peer(*model_of(builder.finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].culprit.function, "on_reply");
}

TEST(NetSlowPeer, EqualPeersAreFine) {
  const auto result = net_slow_peer(*model_of(three_backends(0.003).finish(2)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.fine, HasSubstr("1.5 times"));
}

// Of three that take 2 ms each and are asked at once, the first one's answer is waited for, the others' are mostly there by then.
TEST(NetSlowPeer, AnswersThatWereReadySayNothingOfHowLongTheyTook) {
  TraceBuilder builder;
  for (int i = 0; i < 3; ++i) {
    const auto peer = builder.peer("127.0.0.1:900" + std::to_string(i));
    const double waited = i == 0 ? 100 : 10;
    builder.calls({.call = Call::send, .object = peer, .stack = builder.stack({"main", "ask_all", "send_message"}), .calls = 100, .each = 5e-6, .bytes_each = 100, .to = 2});
    builder.calls({.call = Call::recv, .object = peer, .stack = builder.stack({"main", "ask_all", "await_reply"}), .calls = 100, .each = 0.002 * waited / 100, .bytes_each = 100, .to = 2});
    builder.turns(peer, {.opened = 1, .turns = waited, .each = 0.002, .ready = 100 - waited, .to = 2});
  }
  EXPECT_TRUE(net_slow_peer(*model_of(builder.finish(2))).findings.empty());
}

TEST(NetSlowPeer, APeerThatDoesSomethingElseIsNotCompared) {
  EXPECT_TRUE(net_slow_peer(*model_of(three_backends(0.012, 5000).finish(2))).findings.empty());
}

TEST(NetSlowPeer, TwoPeersAreTooFewToCompare) {
  TraceBuilder builder;
  for (const char* name : {"10.0.0.1:5432", "10.0.0.2:6379"}) {
    const auto peer = builder.peer(name);
    talk(builder, peer, 100, name[7] == '1' ? 0.010 : 0.0002);
    builder.turns(peer, {.turns = 100, .each = name[7] == '1' ? 0.010 : 0.0002, .to = 2});
  }
  const auto result = net_slow_peer(*model_of(builder.finish(2)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.fine, HasSubstr("2 peers"));
}

// A thread that asks one peer `turns` times for 2 ms each, over `wall` seconds.
analyzers::RuleResult asked_by_one(double turns, double wall) {
  TraceBuilder builder;
  const auto peer = builder.peer("10.0.0.1:5432");
  builder.calls({.call = Call::send, .object = peer, .stack = builder.stack({"main", "load_rows", "query"}), .calls = turns, .each = 5e-6, .bytes_each = 60, .to = wall});
  builder.calls({.call = Call::recv, .object = peer, .stack = builder.stack({"main", "load_rows", "query"}), .calls = turns, .each = 0.002, .bytes_each = 100, .to = wall});
  builder.turns(peer, {.opened = 1, .turns = turns, .each = 0.002, .to = wall});
  return net_slow_peer(*model_of(builder.finish(wall)));
}

TEST(NetSlowPeer, OneThatIsAskedAllTheTimeIsALowOne) {
  const auto result = asked_by_one(900, 2);
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_EQ(result.findings[0].severity, Severity::low);
  EXPECT_EQ(result.findings[0].culprit.function, "query");
  EXPECT_NEAR(result.findings[0].gain.fraction, 0.45, 0.01);
  EXPECT_EQ(result.findings[0].gain.low, 0);
}

TEST(NetSlowPeer, OneThatIsAskedNowAndThenIsFine) { EXPECT_TRUE(asked_by_one(900, 4).findings.empty()); }

TEST(NetSlowPeer, SeveralQuestionsAtATimeAreFine) { EXPECT_TRUE(asked_by_one(4000, 4).findings.empty()); }

TEST(NetRules, WithoutRecordsOfCallsTheyAreNotApplicable) {
  const auto model = model_of(TraceBuilder().finish(1));
  EXPECT_FALSE(net_connection_churn(*model).not_applicable.empty());
  EXPECT_FALSE(net_delayed_ack(*model).not_applicable.empty());
  EXPECT_FALSE(net_slow_peer(*model).not_applicable.empty());
}

}  // namespace
}  // namespace tailback::testing
