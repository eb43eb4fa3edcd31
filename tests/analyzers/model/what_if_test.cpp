// SPDX-License-Identifier: Apache-2.0
// Windows of known programs, and what changes of them are worth: the answers follow from the programs.
#include "analyzers/model/what_if.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/trace_builder.h"

namespace tailback::analyzers {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::kMillisecond;
using testing::TraceBuilder;
using trace::Call;

constexpr std::uint64_t kLock = 0x1000, kCondition = 0x2000;
constexpr double kBegin = 1000, kLength = 100;  // milliseconds

// One window, in milliseconds since its begin.
class Story {
 public:
  explicit Story(double from = kBegin, double length = kLength) : from_(from), length_(length) {}
  std::uint64_t worker() { return builder_.thread({.name = "worker", .start_routine = "work"}); }
  std::uint64_t thread(const std::string& routine) { return builder_.thread({.name = routine, .start_routine = routine}); }

  void wait(std::uint64_t thread, Call call, std::uint64_t object, double from, double to) {
    builder_.add(trace::CallEvent{.t = ns(from), .ns = ns(to) - ns(from), .thread = thread, .call = static_cast<std::uint64_t>(call), .object = object});
  }
  void wake(std::uint64_t thread, Call call, std::uint64_t object, double at) {
    builder_.add(trace::Wake{.t = ns(at), .thread = thread, .call = static_cast<std::uint64_t>(call), .object = object});
  }
  // Held up others since `from`, given back at `to`.
  void hold(std::uint64_t thread, std::uint64_t lock, double from, double to) {
    wait(thread, Call::unlock, lock, from, to);
    wake(thread, Call::unlock, lock, to);
  }
  void samples(std::uint64_t thread, double cpu_ms) {
    for (double at = 2.5; at < cpu_ms; at += 5) builder_.add(trace::CpuSample{.t = ns(at), .thread = thread, .weight_ns = 5 * kMillisecond, .flags = 1});
  }
  void samples_over(std::uint64_t thread, double from, double to, double every = 5) {
    for (double at = from + every / 2; at < to; at += every) builder_.add(trace::CpuSample{.t = ns(at), .thread = thread, .weight_ns = 5 * kMillisecond, .flags = 1});
  }
  void end(std::uint64_t thread, double at) { builder_.end_thread(thread, (from_ + at) / 1000); }
  Recording recording(std::uint64_t reason = 0) {
    builder_.add(trace::DetailWindow{.begin = ns(0), .end = ns(length_), .reason = reason});
    return read_recording_image(builder_.finish(2).image_bytes(), "test.tbk");
  }

 private:
  std::uint64_t ns(double ms) const { return static_cast<std::uint64_t>((from_ + ms) * kMillisecond); }
  TraceBuilder builder_{2};
  double from_, length_;
};

// Two workers that hold one lock for 4 ms each in turns, and compute 1 ms without it: the lock is always held.
Recording taking_turns() {
  Story story;
  const std::uint64_t threads[] = {story.worker(), story.worker()};
  for (int turn = 0; turn < 25; ++turn) {
    const std::uint64_t holder = threads[turn % 2], other = threads[(turn + 1) % 2];
    story.hold(holder, kLock, 4 * turn + 1, 4 * turn + 4);
    story.wait(other, Call::mutex_lock, kLock, 4 * turn + 1, 4 * turn + 4);
  }
  for (const std::uint64_t thread : threads) story.samples_over(thread, 0, 60);
  return story.recording();
}

WhatIf gain(const Recording& recording, double cpus, const Change& change) {
  const WhatIfReplay replay(recording, cpus);
  EXPECT_EQ(replay.windows().size(), 1u);
  EXPECT_EQ(replay.refused(), 0u);
  return replay.gain_of(change);
}

TEST(ExecutionGraph, WaitsEndByTheLastWakeOfTheirObject) {
  const std::vector<WindowGraph> graphs = execution_graphs(taking_turns(), {2});
  ASSERT_THAT(graphs, SizeIs(1));
  ASSERT_THAT(graphs[0].threads, SizeIs(2));
  EXPECT_EQ(graphs[0].threads[0].kind, graphs[0].threads[1].kind);
  std::size_t edges = 0, held = 0;
  for (const GraphThread& thread : graphs[0].threads) {
    double at = graphs[0].begin;
    for (const GraphStep& step : thread.steps) {
      EXPECT_NEAR(step.begin, at, 1e-6) << "no gaps";
      at = step.end;
      edges += step.kind == GraphStep::Kind::wait && step.edge != kNoEdge;
      held += step.kind == GraphStep::Kind::run && step.held == kLock;
      EXPECT_NEAR(step.latency, 0, 1e-6);
    }
    EXPECT_NEAR(at, graphs[0].end, 1e-6);
  }
  EXPECT_EQ(edges, 24u) << "the last wait ends with the window";
  EXPECT_EQ(held, 25u);
}

TEST(ExecutionGraph, ThreadsThatShareACpuGetTheirShareOfIt) {
  Story story(kBegin, 50);
  const auto one = story.worker(), two = story.worker();
  story.samples_over(one, 0, 50, 10), story.samples_over(two, 0, 50, 10);
  story.wake(one, Call::cond_signal, kCondition, 40), story.wake(two, Call::cond_signal, kCondition, 40);
  const std::vector<WindowGraph> graphs = execution_graphs(story.recording(), {1});
  ASSERT_THAT(graphs, SizeIs(1));
  for (const GraphThread& thread : graphs[0].threads) EXPECT_NEAR(thread.steps.front().cpu, 0.02, 1e-6);
  EXPECT_NEAR(replayed_seconds(graphs[0], 1, {}), 0.05, 1e-6);
  EXPECT_NEAR(replayed_seconds(graphs[0], 2, {}), 0.025, 1e-6) << "another CPU";
}

TEST(ExecutionGraph, WhatSamplesContradictIsNoRunning) {
  Story story;
  const auto one = story.worker(), two = story.worker();
  story.samples_over(one, 0, 100);
  story.wait(two, Call::cond_wait, kCondition, 0, 10);  // and then something that nobody sees
  story.wake(one, Call::cond_signal, kCondition, 10);
  const std::vector<WindowGraph> graphs = execution_graphs(story.recording(), {2});
  ASSERT_THAT(graphs, SizeIs(1));
  double ran = 0;
  for (const GraphStep& step : graphs[0].threads[1].steps) ran += step.cpu;
  EXPECT_LT(ran, 0.005);
}

TEST(ExecutionGraph, WindowsThatCannotBeAreLeftOut) {
  Story story;
  const auto one = story.worker(), two = story.worker();
  for (int i = 0; i < 50; ++i) story.wake(one, Call::cond_signal, kCondition, 2 * i), story.wake(two, Call::cond_signal, kCondition, 2 * i);
  EXPECT_THAT(execution_graphs(story.recording(), {2}), IsEmpty()) << "calls all over, not one sample";
  Story alone;
  alone.samples(alone.worker(), 100);
  EXPECT_THAT(execution_graphs(alone.recording(2), {2}), IsEmpty()) << "no window with calls";
}

TEST(ExecutionGraph, OfAWindowInWhichAThreadEndsThePartBeforeIsUsed) {
  Story story;
  const auto one = story.worker(), two = story.worker();
  story.samples_over(one, 0, 100), story.samples_over(two, 0, 80);
  story.end(two, 80);
  std::vector<WindowGraph> graphs = execution_graphs(story.recording(), {2});
  ASSERT_THAT(graphs, SizeIs(1));
  EXPECT_NEAR(graphs[0].seconds(), 0.08, 1e-6);
  Story early;
  const auto three = early.worker(), four = early.worker();
  early.samples_over(three, 0, 100), early.samples_over(four, 0, 20);
  early.end(four, 20);
  EXPECT_THAT(execution_graphs(early.recording(), {2}), IsEmpty()) << "too little is left";
}

TEST(WhatIf, AnUnchangedReplayTakesAsLongAsTheWindow) {
  const std::vector<WindowGraph> graphs = execution_graphs(taking_turns(), {2});
  EXPECT_NEAR(replayed_seconds(graphs[0], 2, {}), kLength / 1000, 1e-6);
}

TEST(WhatIf, WithoutTheLockBothComputeSideBySide) {
  // 100 ms of turns are 4 ms in each 4 ms; each thread has a wait of 3 ms in 8 ms left out: 5 ms of work in 8.
  const Recording recording = taking_turns();
  EXPECT_NEAR(gain(recording, 2, without_waits_for(kLock)).fraction, 3.0 / 8, 0.02);
  EXPECT_NEAR(gain(recording, 2, without_waits_for(kCondition)).fraction, 0, 1e-6);
}

TEST(WhatIf, OneCpuGivesNothingBack) {
  Story story;  // the same turns with one CPU: nobody computes beside the holder
  const std::uint64_t threads[] = {story.worker(), story.worker()};
  for (int turn = 0; turn < 25; ++turn) {
    story.hold(threads[turn % 2], kLock, 4 * turn, 4 * turn + 4);
    story.wait(threads[(turn + 1) % 2], Call::mutex_lock, kLock, 4 * turn, 4 * turn + 4);
  }
  for (const std::uint64_t thread : threads) story.samples_over(thread, 0, 50);
  const Recording recording = story.recording();
  EXPECT_NEAR(gain(recording, 1, without_waits_for(kLock)).fraction, 0, 0.02);
  EXPECT_NEAR(gain(recording, 2, without_waits_for(kLock)).fraction, 0.5, 0.02);
}

TEST(WhatIf, AShorterSectionShortensTheTurns) {
  EXPECT_NEAR(gain(taking_turns(), 2, with_shorter_section(kLock, 0.5)).fraction, 1.5 / 4, 0.03);
}

TEST(WhatIf, ALockGivenBackBeforeAFlushLetsTheOthersGoOn) {
  Story story;  // one flushes 8 ms of 10 with the lock, the other wants it for a moment and computes for 2 ms
  const auto writer = story.thread("write"), server = story.worker();
  for (int i = 0; i < 10; ++i) {
    story.wait(writer, Call::fsync, 1, 10 * i + 1, 10 * i + 9);
    story.hold(writer, kLock, 10 * i, 10 * i + 9);
    story.wait(server, Call::mutex_lock, kLock, 10 * i + 0.5, 10 * i + 9);
  }
  story.samples_over(writer, 0, 20), story.samples_over(server, 0, 15);
  const Recording recording = story.recording();
  const std::vector<WindowGraph> graphs = execution_graphs(recording, {2});
  ASSERT_THAT(graphs, SizeIs(1));
  // The writer still takes 100 ms; alone the server would be done with its 15 ms by now.
  EXPECT_NEAR(replayed_seconds(graphs[0], 2, with_lock_given_back_early(kLock)), 0.1, 0.002);
}

// A producer needs 4 ms for each piece, a consumer 2 ms.
Recording pipeline() {
  Story story;
  const auto producer = story.thread("produce"), consumer = story.thread("consume");
  for (int i = 0; i < 25; ++i) {
    story.wake(producer, Call::cond_signal, kCondition, 4 * i + 4 - 0.01);
    story.wait(consumer, Call::cond_wait, kCondition, 4 * i + 2, 4 * i + 4);
  }
  story.samples_over(producer, 0, 100), story.samples_over(consumer, 0, 50);
  return story.recording();
}

TEST(WhatIf, AFasterProducerHelpsUntilTheConsumerIsTheSlowerOne) {
  const Recording recording = pipeline();
  const ThreadId producer = recording.threads.rows[1].id, consumer = recording.threads.rows[2].id;
  EXPECT_NEAR(gain(recording, 2, with_less_cpu({{producer, 0.75}})).fraction, 0.25, 0.02);
  EXPECT_NEAR(gain(recording, 2, with_less_cpu({{producer, 0.1}})).fraction, 0.5, 0.03);
  EXPECT_NEAR(gain(recording, 2, with_less_cpu({{consumer, 0.1}})).fraction, 0, 0.02) << "it waits all the longer";
}

TEST(WhatIf, ASleepThatEndsEarlier) {
  Story story;
  const auto one = story.worker();
  story.samples_over(one, 0, 50);
  for (int i = 0; i < 10; ++i) story.wait(one, Call::fsync, 1, 10 * i + 5, 10 * i + 10);
  const Recording recording = story.recording();
  EXPECT_NEAR(gain(recording, 2, without_waits_in(Call::fsync, 0, 0.2)).fraction, 0.4, 0.01);
}

TEST(WhatIf, ASleeperThatIsWokenHearsAtOnce) {
  Story story;  // one asks and sleeps 10 ms for an answer that takes 3 ms; asking takes 2 ms
  const auto asks = story.thread("ask"), answers = story.thread("answer");
  for (int i = 0; i < 10; ++i) {
    story.wake(asks, Call::cond_signal, kCondition, 10 * i + 2);
    story.wait(asks, Call::sleep, 0, 10 * i + 2, 10 * i + 10);
    story.wait(answers, Call::cond_wait, kCondition, i ? 10 * i - 5 : 0, 10 * i + 2);
  }
  story.wait(answers, Call::cond_wait, kCondition, 95, 100);
  story.samples_over(asks, 0, 20), story.samples_over(answers, 0, 30);
  const std::vector<WindowGraph> graphs = execution_graphs(story.recording(), {2});
  ASSERT_THAT(graphs, SizeIs(1));
  const ThreadId sleeper = graphs[0].threads[0].thread;
  // Whoever answers sets the pace then: it is done 5 ms after each question, not 10.
  EXPECT_NEAR(replayed_seconds(graphs[0], 2, with_wakes_for_sleeps(sleeper)), 0.05, 0.006);
  EXPECT_NEAR(replayed_seconds(graphs[0], 2, with_wakes_for_sleeps(sleeper + 100)), 0.1, 0.006);
}

TEST(WhatIf, ADividedStageTakesAsLongAsItsPartsOnTheCpus) {
  const Recording recording = pipeline();
  const ThreadId producer = recording.threads.rows[1].id;
  EXPECT_NEAR(gain(recording, 1000, with_divided_work(producer, 2)).fraction, 0.5, 0.03);
  EXPECT_NEAR(gain(recording, 1000, with_divided_work(producer, 20)).fraction, 0.5, 0.03) << "then the consumer sets the pace";
  EXPECT_LT(gain(recording, 2, with_divided_work(producer, 2)).fraction, 0.3) << "two CPUs have 6 ms to do for each piece";
}

TEST(WhatIf, MoreWorkersShareTheTasksOfAPool) {
  Story story;  // two workers that flush for 8 ms in each task of 10 ms and never wait for one
  Change::Pool pool{.threads = {}, .idle_call = Call::cond_wait, .idle_object = kCondition, .task_seconds = 0.01, .more = 0};
  const std::uint64_t workers[] = {story.worker(), story.worker()};
  for (const std::uint64_t worker : workers) {
    pool.threads.insert(static_cast<ThreadId>(worker));
    for (int i = 0; i < 10; ++i) story.wait(worker, Call::fsync, 1, 10 * i + 2, 10 * i + 10);
    story.samples_over(worker, 0, 20);
  }
  const Recording recording = story.recording();
  EXPECT_NEAR(gain(recording, 2, with_more_workers(pool)).fraction, 0, 0.01);
  pool.more = 2;
  EXPECT_NEAR(gain(recording, 4, with_more_workers(pool)).fraction, 0.5, 0.02);
  EXPECT_NEAR(gain(recording, 2, with_more_workers(pool)).fraction, 0.4, 0.02) << "four begin at a time, and two of them get a CPU";
  pool.more = 98;  // 2 ms of a CPU for each of 20 tasks in 100 ms, and two CPUs
  EXPECT_NEAR(gain(recording, 2, with_more_workers(pool)).fraction, 0.8, 0.05);
}

TEST(WhatIf, MoreWorkersDoNotMakeWorkComeSooner) {
  Story story;  // tasks come every 10 ms to two workers that have 4 ms of work with each
  const std::uint64_t source = story.thread("submit");
  Change::Pool pool{.threads = {}, .idle_call = Call::cond_wait, .idle_object = kCondition, .task_seconds = 0, .more = 6};
  const std::uint64_t workers[] = {story.worker(), story.worker()};
  for (int i = 0; i < 10; ++i) {
    const std::uint64_t worker = workers[i % 2];
    story.wake(source, Call::cond_signal, kCondition, 10 * i + 1);
    story.wait(source, Call::sleep, 0, 10 * i + 1, 10 * i + 10);
    story.wait(worker, Call::cond_wait, kCondition, i < 2 ? 0 : 10 * i - 15, 10 * i + 1.05);
  }
  for (const std::uint64_t worker : workers) pool.threads.insert(static_cast<ThreadId>(worker)), story.samples_over(worker, 0, 25);
  story.samples_over(source, 0, 10);
  const WhatIfReplay replay(story.recording(), 2);
  ASSERT_TRUE(replay.usable());
  EXPECT_NEAR(replay.gain_of(with_more_workers(pool)).fraction, 0, 0.06);
}

TEST(WhatIf, NothingIsSaidWithoutWindows) {
  TraceBuilder builder;
  const WhatIfReplay replay(read_recording_image(builder.finish(1).image_bytes(), "test.tbk"), 2);
  EXPECT_FALSE(replay.usable());
  EXPECT_EQ(replay.gain_of(without_waits_for(kLock)).windows, 0u);
}

}  // namespace
}  // namespace tailback::analyzers
