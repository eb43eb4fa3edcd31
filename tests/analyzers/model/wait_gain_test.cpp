// SPDX-License-Identifier: Apache-2.0
// How far wall time can hang on time inside calls: by who sets the pace.
#include "analyzers/model/wait_gain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/trace_builder.h"

namespace tailback::analyzers {
namespace {

using ::testing::HasSubstr;
using testing::TraceBuilder;
using trace::Call;

Gain gain_in(const TraceBuilder& builder, const WaitSaving& saving) {
  Model model;
  model.recording = read_recording_image(builder.image_bytes(), "test.tbk");
  model.timeline = Timeline::build(model.recording);
  model.waits = Waits::build(model.recording, model.timeline);
  return gain_of_waiting(model, saving);
}

void flush(TraceBuilder& builder, std::uint64_t thread, double seconds) {
  builder.flushes(thread, builder.file("/a"), builder.stack({"store"}), 100, seconds / 100, 4);
}

TEST(WaitGain, TheOnlyThreadCountsFully) {
  TraceBuilder builder;
  builder.run(1, 0, 4, builder.stack({"main"}), {.busy = 0.5});
  flush(builder, 1, 2);
  const Gain gain = gain_in(builder.finish(4), {{{1, 1.6}}, 0.8, 1.25, "why"});
  EXPECT_EQ(gain.metric, "wall_time");
  EXPECT_NEAR(gain.fraction, 0.4, 1e-3);
  EXPECT_NEAR(gain.low, 0.32, 1e-3);
  EXPECT_NEAR(gain.high, 0.5, 1e-3);
}

TEST(WaitGain, ThreadsThatWaitForWorkDoNotMatter) {
  TraceBuilder builder;
  flush(builder, 1, 3.8);
  const auto idle = builder.thread({.name = "idle"});
  builder.calls({.thread = idle, .call = Call::cond_wait, .object = 0x10, .stack = builder.stack({"next"}), .calls = 10, .each = 0.39, .to = 4});
  const Gain gain = gain_in(builder.finish(4), {{{1, 2.0}}, 1, 1, "why"});
  EXPECT_NEAR(gain.fraction, 0.5, 1e-3);
  EXPECT_NEAR(gain.low, 0.5, 1e-3);
}

TEST(WaitGain, BesideABusyThreadNothingIsCertain) {
  TraceBuilder builder;
  builder.run(1, 0, 4, builder.stack({"main"}), {.busy = 1});
  const auto writer = builder.thread({.name = "writer"});
  flush(builder, writer, 1.2);
  const Gain gain = gain_in(builder.finish(4), {{{static_cast<ThreadId>(writer), 1.2}}, 1, 1, "why"});
  EXPECT_EQ(gain.fraction, 0);
  EXPECT_NEAR(gain.high, 0.3, 1e-3);
  EXPECT_THAT(gain.how, HasSubstr("nobody is seen to wait"));
}

TEST(WaitGain, SeveralThatSetThePaceGiveTheirMean) {
  TraceBuilder builder;
  const auto a = builder.thread({.name = "a"}), b = builder.thread({.name = "b"});
  for (const auto thread : {a, b}) flush(builder, thread, 3.6);
  const Gain gain = gain_in(builder.finish(4), {{{static_cast<ThreadId>(a), 2.0}, {static_cast<ThreadId>(b), 1.0}}, 1, 1, "why"});
  EXPECT_NEAR(gain.fraction, 0.375, 1e-3);
  EXPECT_NEAR(gain.low, 0.25, 1e-3);
  EXPECT_NEAR(gain.high, 0.5, 1e-3);
}

TEST(WaitGain, ABackendInTheSameProcessFollowsItsClient) {
  TraceBuilder builder;
  const auto server = builder.thread({.name = "server"});
  builder.calls({.call = Call::recv, .object = builder.peer("127.0.0.1:9000"), .stack = builder.stack({"ask"}), .calls = 100, .each = 0.038, .to = 4});
  builder.calls({.thread = server, .call = Call::sleep, .stack = builder.stack({"work"}), .calls = 100, .each = 0.024, .to = 4});
  const auto accepted = builder.endpoint("127.0.0.1:9000 (accepted)", {.kind = trace::EndpointKind::tcp_accepted});
  builder.calls({.thread = server, .call = Call::recv, .object = accepted, .stack = builder.stack({"serve"}), .calls = 100, .each = 0.014, .to = 4});
  const Gain gain = gain_in(builder.finish(4), {{{1, 2.0}}, 0.9, 1, "why"});
  EXPECT_NEAR(gain.fraction, 0.5, 1e-3);
  EXPECT_NEAR(gain.low, 0.45, 1e-3);
}

TEST(WaitGain, AServerThatMostlyWaitsForRequestsGainsLatency) {
  TraceBuilder builder;
  builder.calls({.call = Call::epoll_wait, .stack = builder.stack({"loop"}), .calls = 100, .each = 0.03, .to = 4});
  flush(builder, 1, 0.8);
  const Gain gain = gain_in(builder.finish(4), {{{1, 0.6}}, 1, 1, "why"});
  EXPECT_EQ(gain.metric, "latency");
  EXPECT_NEAR(gain.fraction, 0.75, 0.01);
}

TEST(WaitGain, ShortLivedThreadsShareTheirLives) {
  TraceBuilder builder;
  builder.add(trace::ThreadGroup{.t = testing::kSecond, .count = 100, .lifetime_ns = 20 * testing::kSecond});
  const Gain gain = gain_in(builder.finish(4), {{{0, 5.0}}, 1, 1, "why"});
  EXPECT_NEAR(gain.fraction, 0.25, 1e-3);
  EXPECT_EQ(gain.low, 0);
}

}  // namespace
}  // namespace tailback::analyzers
