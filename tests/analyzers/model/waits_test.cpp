// SPDX-License-Identifier: Apache-2.0
// A thread's wall time without gaps, what it waits for by design, and sums that survive any bound.
#include "analyzers/model/waits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/trace_builder.h"

namespace tailback::analyzers {
namespace {

using ::testing::SizeIs;
using testing::kSecond;
using testing::TraceBuilder;
using trace::Call;
using trace::EndpointKind;

Recording read(const TraceBuilder& builder, const ReadOptions& options = {}) { return read_recording_image(builder.image_bytes(), "test.tbk", options); }

struct Split {
  explicit Split(const TraceBuilder& builder, const ReadOptions& options = {})
      : recording(read(builder, options)), waits(Waits::build(recording, Timeline::build(recording))) {}
  const ThreadWaits& thread(std::uint64_t id) const { return *waits.find(static_cast<ThreadId>(id)); }
  double blocked(std::uint64_t id, WaitCause cause) const { return thread(id).blocked[static_cast<std::size_t>(cause)]; }
  Recording recording;
  Waits waits;
};

void expect_no_gaps(const ThreadWaits& thread) {
  EXPECT_NEAR(thread.running + thread.runnable + thread.blocked_seconds() + thread.unexplained, thread.alive, 1e-6);
}

TEST(Waits, AThreadsTimeIsSplitWithoutGaps) {
  TraceBuilder builder;
  const auto stack = builder.stack({"main", "work"});
  builder.run(1, 0, 4, stack, {.busy = 0.25, .waiting = 0.05});
  builder.flushes(1, builder.file("/a"), stack, 100, 0.008, 4);
  builder.calls({.call = Call::sleep, .stack = stack, .calls = 10, .each = 0.1, .to = 4});
  const Split split(builder.finish(4));
  expect_no_gaps(split.thread(1));
  EXPECT_NEAR(split.blocked(1, WaitCause::disk), 0.8, 1e-3);
  EXPECT_NEAR(split.blocked(1, WaitCause::sleep), 1.0, 1e-3);
  EXPECT_NEAR(split.thread(1).unexplained, 4 - 1 - 0.2 - 1.8, 1e-2);
  EXPECT_EQ(split.thread(1).role, ThreadRole::held_up);
}

TEST(Waits, CpuTimeInsideCallsIsNotWaiting) {
  TraceBuilder builder;
  const auto stack = builder.stack({"main", "copy"});
  builder.run(1, 0, 2, stack, {.busy = 1, .system = 0.5});
  builder.calls({.call = Call::write, .object = builder.file("/a"), .stack = stack, .calls = 1e5, .each = 10e-6, .bytes_each = 4096, .to = 2});
  const Split split(builder.finish(2));
  EXPECT_NEAR(split.thread(1).blocked_seconds(), 0, 1e-3);
  EXPECT_EQ(split.thread(1).role, ThreadRole::working);
}

TEST(Waits, MoreWaitingThanTimeIsCutToFit) {
  TraceBuilder builder;
  builder.run(1, 0, 1, builder.stack({"main"}), {.busy = 0.5});
  builder.calls({.call = Call::mutex_lock, .object = 0x1000, .calls = 10, .each = 0.09});
  const Split split(builder.finish(1));
  expect_no_gaps(split.thread(1));
  EXPECT_NEAR(split.blocked(1, WaitCause::lock), 0.5, 1e-3);
}

TEST(Waits, RolesTellDesignFromHoldUp) {
  TraceBuilder builder;
  const auto add = [&](const char* name, Call call, std::uint64_t object) {
    const auto thread = builder.thread({.name = name, .start_routine = name});
    builder.calls({.thread = thread, .call = call, .object = object, .stack = builder.stack({name}), .calls = 100, .each = 0.019, .to = 2});
    return thread;
  };
  const auto worker = add("worker", Call::cond_wait, 0x10), loop = add("loop", Call::epoll_wait, 0), timer = add("timer", Call::sleep, 0);
  const auto client = add("client", Call::recv, builder.peer("10.0.0.1:80")), joiner = add("joiner", Call::thread_join, 7);
  const auto acceptor = add("acceptor", Call::accept, builder.endpoint("0.0.0.0:80", {.kind = EndpointKind::tcp_listening}));
  const Split split(builder.finish(2));
  EXPECT_EQ(split.thread(worker).role, ThreadRole::idle_worker);
  EXPECT_EQ(split.thread(acceptor).role, ThreadRole::idle_worker);
  EXPECT_EQ(split.thread(loop).role, ThreadRole::event_loop);
  EXPECT_EQ(split.thread(timer).role, ThreadRole::timer);
  EXPECT_EQ(split.thread(joiner).role, ThreadRole::coordinator);
  EXPECT_EQ(split.thread(client).role, ThreadRole::held_up);
  EXPECT_NEAR(split.thread(worker).engaged(), 0, 0.01);
  EXPECT_NEAR(split.thread(client).engaged(), 1.9, 0.01);
}

TEST(Waits, PollingForOneAnswerAtATimeIsNoEventLoop) {
  const auto client = [](double turn_seconds) {
    TraceBuilder builder;
    const auto peer = builder.peer("10.0.0.1:5432"), stack = builder.stack({"main", "query"});
    builder.calls({.call = Call::send, .object = peer, .stack = stack, .calls = 100, .each = 5e-6, .bytes_each = 100, .to = 4});
    builder.calls({.call = Call::poll, .stack = stack, .calls = 100, .each = 0.035, .to = 4});
    builder.turns(peer, {.opened = 1, .turns = 100, .each = turn_seconds, .to = 4});
    return builder.finish(4);
  };
  const Split one_at_a_time(client(0.035)), together(client(0.350));
  EXPECT_EQ(one_at_a_time.thread(1).role, ThreadRole::held_up);
  EXPECT_NEAR(one_at_a_time.thread(1).engaged(), 3.5, 0.01);
  EXPECT_EQ(together.thread(1).role, ThreadRole::event_loop);
}

TEST(Waits, SingleCallsAreKeptUpToABound) {
  TraceBuilder builder;
  for (std::uint64_t i = 0; i < 100; ++i) builder.add(trace::CallEvent{.t = i * kSecond / 10, .ns = 1000, .thread = 1, .call = 20, .object = builder.file("/a"), .stack = builder.stack({"main"})});
  const Recording all = read(builder.finish(10)), few = read(builder, {.max_call_events = 7}), late = read(builder, {.from_ns = 9 * kSecond});
  EXPECT_THAT(all.calls.events, SizeIs(100));
  EXPECT_EQ(all.calls.events[3].key.object, 1u);
  EXPECT_THAT(few.calls.events, SizeIs(7));
  EXPECT_EQ(few.calls.events_left_out, 43u);
  EXPECT_THAT(late.calls.events, SizeIs(10));
  EXPECT_EQ(late.calls.events_left_out, 0u);
}

TEST(Waits, OfTooManySingleCallsThoseOfEveryOtherStretchStay) {
  TraceBuilder builder;
  for (std::uint64_t i = 0; i < 100; ++i) {
    builder.add(trace::CallEvent{.t = i * kSecond, .ns = 1000, .thread = 1, .call = 20, .object = builder.file("/a"), .stack = builder.stack({"main"})});
    builder.add(trace::Wake{.t = i * kSecond, .thread = 1, .call = 81, .object = 0x1000});
  }
  const Recording all = read(builder.finish(100)), few = read(builder, {.max_call_events = 60});
  EXPECT_THAT(all.calls.wake_events, SizeIs(100));
  EXPECT_EQ(all.calls.kept_stretches, 1u);
  EXPECT_EQ(few.calls.kept_stretches, 4u);
  EXPECT_EQ(few.calls.events_left_out, 0u);
  EXPECT_THAT(few.calls.events, SizeIs(25));
  EXPECT_THAT(few.calls.wake_events, SizeIs(25));
  for (const WakeEventRow& row : few.calls.wake_events) EXPECT_TRUE(few.calls.holds_events_of(row.t));
}

TEST(Waits, EndpointsHoldTheirOperations) {
  TraceBuilder builder;
  const auto file = builder.file("/data/a", 1000), stack = builder.stack({"main", "load"});
  builder.calls({.call = Call::read, .object = file, .stack = stack, .calls = 900, .each = 1e-6, .bytes_each = 100});
  builder.calls({.call = Call::open, .object = file, .stack = stack, .calls = 9, .each = 50e-6});
  const Split split(builder.finish(1));
  ASSERT_THAT(split.waits.endpoints, SizeIs(1));
  const EndpointTotals& totals = split.waits.endpoints[0];
  EXPECT_EQ(totals.counts.calls, 909u);
  EXPECT_EQ(totals.counts.bytes, 90000u);
  ASSERT_THAT(totals.operations, SizeIs(2));
  EXPECT_EQ(totals.operations[0].call, Call::read);
  EXPECT_NEAR(totals.operations[1].latencies.duration_quantile(0.5), 50000, 17500);
  EXPECT_NEAR(totals.operations[0].sizes.size_quantile(0.5), 100, 40);
}

TEST(Waits, PlacesAddUpToTheExactSums) {
  TraceBuilder builder;
  const auto file = builder.file("/a");
  trace::CallAggregate sum{.end_ms = 1000, .span_ms = 1000, .thread = 1, .call = 8, .object = file, .calls = 1000, .ns = 5'000'000, .bytes = 10000};
  builder.add(sum);
  for (const char* name : {"first", "second"})
    builder.add(trace::CallStack{.end_ms = 1000, .span_ms = 1000, .thread = 1, .call = 8, .object = file, .stack = builder.stack({"main", name}), .calls = 64, .ns = 300'000, .bytes = 700});
  const Split split(builder.finish(1));
  ASSERT_THAT(split.waits.sites, SizeIs(2));
  EXPECT_NEAR(split.waits.sites[0].calls + split.waits.sites[1].calls, 1000, 1e-6);
  EXPECT_NEAR(split.waits.sites[0].seconds + split.waits.sites[1].seconds, 0.005, 1e-9);
}

TEST(Waits, WindowsAndThreadsAreHonoured) {
  TraceBuilder builder;
  const auto other = builder.thread({.name = "other"});
  for (const std::uint64_t thread : {std::uint64_t{1}, other}) builder.flushes(thread, builder.file("/a"), builder.stack({"main"}), 100, 0.001, 10);
  builder.finish(10);
  const Recording window = read(builder, {.from_ns = 2 * kSecond, .to_ns = 5 * kSecond});
  std::uint64_t calls = 0;
  for (const CallRow& row : window.calls.rows) calls += row.counts.calls;
  EXPECT_EQ(calls, 60u);
  const Recording one = read(builder, {.thread = "other"});
  ASSERT_THAT(one.calls.rows, SizeIs(1));
  EXPECT_EQ(one.calls.rows[0].key.thread, other);
}

TEST(Waits, BeyondTheBoundNothingIsLostButDetail) {
  TraceBuilder builder;
  for (std::uint64_t i = 1; i <= 1000; ++i)
    builder.calls({.call = Call::mutex_lock, .object = 0x1000 * i, .stack = builder.stack({"f" + std::to_string(i % 50)}), .calls = 2, .each = 50e-6});
  const Recording recording = read(builder.finish(1), {.max_call_rows = 10});
  std::uint64_t calls = 0;
  for (const CallRow& row : recording.calls.rows) calls += row.counts.calls;
  EXPECT_EQ(calls, 2000u);
  EXPECT_LE(recording.calls.rows.size(), 12u);
  EXPECT_LE(recording.calls.stacks.size(), 12u);
  EXPECT_GT(recording.calls.left_out, 0u);
}

TEST(Waits, AThreadStillInACallAtTheEndCounts) {
  TraceBuilder builder;
  const auto worker = builder.thread({.name = "worker"});
  const auto blocked = [&](double at) {
    builder.add(trace::StillBlocked{.t = static_cast<std::uint64_t>(at * 1e9), .thread = worker, .call = 68, .object = 0x99, .since = kSecond});
  };
  blocked(2);
  blocked(4);
  const Split split(builder.finish(4));
  EXPECT_NEAR(split.blocked(worker, WaitCause::condition), 3, 1e-6);
  EXPECT_EQ(split.thread(worker).role, ThreadRole::idle_worker);
}

TEST(Waits, OneThatWasBlockedEarlierDoesNotCountTwice) {
  TraceBuilder builder;
  builder.add(trace::StillBlocked{.t = 2 * kSecond, .thread = 1, .call = 68, .object = 0x99, .since = kSecond});
  builder.calls({.call = Call::cond_wait, .object = 0x99, .calls = 1, .each = 3, .from = 3, .to = 4});
  const Split split(builder.finish(6));
  EXPECT_NEAR(split.blocked(1, WaitCause::condition), 3, 1e-6);
}

TEST(Waits, NumbersThatCannotBeAreNotBelieved) {
  const std::uint64_t huge = ~std::uint64_t{0};
  TraceBuilder builder;
  builder.add(trace::Endpoint{.id = huge, .kind = huge, .name = "x", .flags = huge, .size_bytes = huge});
  for (int i = 0; i < 8; ++i) {
    builder.add(trace::CallAggregate{.end_ms = 1, .span_ms = 1, .thread = 1, .call = huge, .object = huge, .calls = huge, .errors = huge, .empty = huge, .ns = huge, .blocked_calls = huge, .blocked_ns = huge, .bytes = huge, .latencies = "\xff\xff"});
    builder.add(trace::CallStack{.end_ms = 1, .span_ms = 1, .thread = 1, .call = huge, .object = huge, .stack = huge, .calls = huge, .ns = huge});
    builder.add(trace::RequestTurns{.end_ms = 1, .span_ms = 1, .object = huge, .opened = huge, .turns = huge, .turn_ns = huge, .delayed_turns = huge, .delayed_ns = huge, .delayed_stack = huge});
  }
  builder.add(trace::StillBlocked{.t = kSecond, .thread = 1, .call = 1, .object = huge, .stack = huge, .since = huge});
  builder.add(trace::CallAggregate{.end_ms = huge, .span_ms = huge, .thread = huge});
  const Split split(builder.finish(1));
  expect_no_gaps(split.thread(1));
  EXPECT_GT(split.recording.ignored_records, 0u);
}

}  // namespace
}  // namespace tailback::analyzers
