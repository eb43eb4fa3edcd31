// SPDX-License-Identifier: Apache-2.0
// The replay against graphs whose critical path is known, and against what queueing theory says of queues.
#include "analyzers/model/replay.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

namespace tailback::analyzers {
namespace {

using Step = ReplayStep;

TEST(Replay, NothingTakesNoTime) {
  EXPECT_EQ(replay({}).seconds, 0);
  EXPECT_EQ(replay({.threads = {{}, {}}}).seconds, 0);
}

TEST(Replay, ThreadsBesideEachOtherTakeTheLongest) {
  const ReplayResult result = replay({.cpus = 2, .threads = {{Step::run(3)}, {Step::run(1), Step::delay(4)}}});
  EXPECT_DOUBLE_EQ(result.seconds, 5);
  EXPECT_DOUBLE_EQ(result.threads[0].finished, 3);
  EXPECT_DOUBLE_EQ(result.threads[1].delayed, 4);
  EXPECT_DOUBLE_EQ(result.cpu_seconds, 4);
}

TEST(Replay, ThreadsShareCpusEvenly) {
  const ReplayResult one = replay({.cpus = 1, .threads = {{Step::run(1)}, {Step::run(2)}, {Step::run(3)}}});
  EXPECT_DOUBLE_EQ(one.threads[0].finished, 3);
  EXPECT_DOUBLE_EQ(one.threads[1].finished, 5);
  EXPECT_DOUBLE_EQ(one.threads[2].finished, 6);
  EXPECT_DOUBLE_EQ(one.threads[0].queued, 2);
  const ReplayResult two = replay({.cpus = 2, .threads = {{Step::run(2)}, {Step::run(2)}, {Step::run(2)}}});
  EXPECT_DOUBLE_EQ(two.seconds, 3);
}

TEST(Replay, WhoComesBackFromADelayTakesHisShareAtOnce) {
  const ReplayResult result = replay({.cpus = 1, .threads = {{Step::run(4)}, {Step::delay(1), Step::run(1)}}});
  EXPECT_DOUBLE_EQ(result.threads[1].finished, 3);  // from 1 on at half speed
  EXPECT_DOUBLE_EQ(result.threads[0].finished, 5);
}

// Three stages that hand over: the critical path goes 2 (a), 3 (b), 1 (c) although c has 4 to do before.
TEST(Replay, TheCriticalPathRunsThroughWakes) {
  ReplayProgram program{.threads = {{Step::run(2), Step::give(0), Step::run(1)}, {Step::take(0), Step::run(3), Step::give(1)}, {Step::run(4), Step::take(1), Step::run(1)}}, .tokens = {0, 0}};
  ReplayResult result = replay(program);
  EXPECT_DOUBLE_EQ(result.seconds, 6);
  EXPECT_DOUBLE_EQ(result.threads[2].waiting, 1);
  program.threads[1][1].seconds = 0.5;  // a stage beside the path shortens it until another one is longer
  result = replay(program);
  EXPECT_DOUBLE_EQ(result.seconds, 5);
  EXPECT_DOUBLE_EQ(result.threads[2].waiting, 0);
}

TEST(Replay, ATokenGivenBeforeIsThereLater) {
  const ReplayResult result = replay({.threads = {{Step::give(0, 2)}, {Step::run(1), Step::take(0), Step::take(0)}}, .tokens = {0}});
  EXPECT_DOUBLE_EQ(result.seconds, 1);
  EXPECT_EQ(result.stuck, 0u);
}

TEST(Replay, WakingUpTakesTimeWhereSomebodyHadToWait) {
  const ReplayResult result = replay({.threads = {{Step::run(1), Step::give(0, 2)}, {Step::take(0, 0.5), Step::run(1)}, {Step::run(3), Step::take(0, 0.5), Step::run(1)}}, .tokens = {0}});
  EXPECT_DOUBLE_EQ(result.threads[1].finished, 2.5);
  EXPECT_DOUBLE_EQ(result.threads[1].waiting, 1);
  EXPECT_DOUBLE_EQ(result.threads[2].finished, 4);
}

TEST(Replay, OneWakeForManyWakesThemInTurn) {
  const ReplayResult result = replay({.threads = {{Step::run(2), Step::give(0, 3)}, {Step::take(0)}, {Step::take(0), Step::run(1)}, {Step::delay(3), Step::take(0)}}, .tokens = {0}});
  EXPECT_DOUBLE_EQ(result.threads[1].finished, 2);
  EXPECT_DOUBLE_EQ(result.seconds, 3);
}

TEST(Replay, ALockIsOneToken) {
  ReplayProgram program{.cpus = 4, .tokens = {1}};
  for (int i = 0; i < 4; ++i) program.threads.push_back({Step::run(1), Step::take(0), Step::run(2), Step::give(0)});
  const ReplayResult locked = replay(program);
  EXPECT_DOUBLE_EQ(locked.seconds, 9);
  EXPECT_DOUBLE_EQ(locked.threads[3].waiting, 6);
}

TEST(Replay, WhatNeverComesIsTold) {
  const ReplayResult result = replay({.threads = {{Step::run(1), Step::take(0)}, {Step::take(0), Step::give(0)}}, .tokens = {0}});
  EXPECT_EQ(result.stuck, 2u) << "the one whose last step is that as well";
  EXPECT_DOUBLE_EQ(result.seconds, 1);
}

// Amdahl: a serial stage, then its halves on two threads.
TEST(Replay, ADividedStage) {
  const double serial = replay({.cpus = 2, .threads = {{Step::run(8), Step::give(0)}, {Step::take(0), Step::run(2)}}, .tokens = {0}}).seconds;
  const double divided = replay({.cpus = 2, .threads = {{Step::run(4), Step::give(0)}, {Step::run(4), Step::give(0)}, {Step::take(0), Step::take(0), Step::run(2)}}, .tokens = {0}}).seconds;
  EXPECT_DOUBLE_EQ(serial, 10);
  EXPECT_DOUBLE_EQ(divided, 6);
}

TEST(Replay, PoolsTakeJobsInOrder) {
  ReplayProgram program{.threads = {{Step::submit(0), Step::submit(1), Step::submit(2)}}, .workers = {2}};
  program.jobs = {{0, {Step::run(2)}}, {0, {Step::run(3)}}, {0, {Step::run(1)}}};
  const ReplayResult result = replay(program);
  EXPECT_DOUBLE_EQ(result.seconds, 3);
  EXPECT_EQ(result.pools[0].jobs, 3u);
  EXPECT_DOUBLE_EQ(result.pools[0].submitted_to_begun, 2);
  EXPECT_DOUBLE_EQ(result.pools[0].submitted_to_done, 8);
}

struct Queue {
  double load = 0.7;  // arrivals for each mean service time
  std::size_t workers = 1;
  double cpus = 0;
  std::uint32_t jobs = 300'000;
  std::function<double(std::mt19937_64&)> service = [](std::mt19937_64& random) { return std::exponential_distribution<>(1)(random); };
};

struct Means {
  double wait = 0, all = 0;  // seconds of a job
};

Means measured(const Queue& queue) {
  std::mt19937_64 random(20'000);
  std::exponential_distribution<> gap(queue.load);
  ReplayProgram program{.cpus = queue.cpus, .threads = {{}}, .workers = {queue.workers}};
  for (std::uint32_t i = 0; i < queue.jobs; ++i) {
    program.threads[0].push_back(Step::delay(gap(random)));
    program.threads[0].push_back(Step::submit(i));
    program.jobs.push_back({0, {Step::run(queue.service(random))}});
  }
  const ReplayResult result = replay(program);
  EXPECT_EQ(result.stuck, 0u);
  EXPECT_EQ(result.pools[0].jobs, queue.jobs);
  return {result.pools[0].submitted_to_begun / queue.jobs, result.pools[0].submitted_to_done / queue.jobs};
}

double erlang_c(double load, int servers) {
  double term = 1, sum = 1;
  for (int i = 1; i < servers; ++i) term *= load / i, sum += term;
  const double all = term * load / servers / (1 - load / servers);
  return all / (sum + all);
}

TEST(Replay, OneServerWithRandomService) {  // M/M/1
  EXPECT_NEAR(measured({}).wait, 0.7 / 0.3, 0.05 * 0.7 / 0.3);
}

TEST(Replay, OneServerWithEvenService) {  // M/D/1: half of it (Pollaczek and Khinchine)
  EXPECT_NEAR(measured({.service = [](auto&) { return 1.0; }}).wait, 0.7 / 0.3 / 2, 0.05 * 0.7 / 0.3 / 2);
}

TEST(Replay, SeveralServers) {  // M/M/k
  for (const int servers : {2, 3, 8}) {
    const double load = 0.8 * servers, expected = erlang_c(load, servers) / (servers - load);
    EXPECT_NEAR(measured({.load = load, .workers = static_cast<std::size_t>(servers), .jobs = 2'000'000}).wait, expected, 0.04 * expected) << servers;
  }
}

TEST(Replay, ASharedCpu) {  // M/G/1 with processor sharing: mean time 1/(1 - load) whatever the service times are (Kleinrock)
  Queue queue{.workers = 500, .cpus = 1};
  EXPECT_NEAR(measured(queue).all, 1 / 0.3, 0.06 / 0.3);
  queue.service = [](auto&) { return 1.0; };
  EXPECT_NEAR(measured(queue).all, 1 / 0.3, 0.06 / 0.3);
}

TEST(Replay, IsTheSameEachTime) {
  EXPECT_EQ(measured({.workers = 3, .cpus = 2}).all, measured({.workers = 3, .cpus = 2}).all);
}

}  // namespace
}  // namespace tailback::analyzers
