// SPDX-License-Identifier: Apache-2.0
// Thread pools: what is one, and the rules about them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "analyzers/model/pool_queue.h"
#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using namespace analyzers;
using trace::Call;
using ::testing::HasSubstr;

constexpr std::uint64_t kQueue = 0x7f0000001000, kOther = 0x7f0000002000;
constexpr double kSeconds = 10;

// Threads that take tasks from a queue; each task stands still in a call, or computes.
struct PoolSpec {
  unsigned cpus = 4, threads = 2;
  double idle = 0;               // of their lives, waiting for tasks
  double running = 0.02;         // likewise, computing
  double waits = 0.97;           // standing still in tasks
  double tasks = 600, unheard = 590, until = 5;  // seconds in which they come
  double waiting_tasks = 600;    // of them, those that stand still
  double from_members = 0;       // of both kinds
  double in_burst = 0;           // of the unheard, those that follow another at once
  Call waits_in = Call::recv;
  std::string label = "worker";
};

std::vector<std::uint64_t> add_pool(TraceBuilder& builder, const PoolSpec& spec) {
  const auto idle = builder.stack({"run_worker", "take_task"}), task = builder.stack({"run_worker", "run_task", "fetch_page"});
  const std::uint64_t object = spec.waits_in == Call::recv ? builder.peer("10.0.0.1:80") : kOther;
  std::vector<std::uint64_t> threads;
  for (unsigned i = 0; i < spec.threads; ++i) {
    const auto thread = builder.thread({.name = spec.label, .start_routine = "run_worker", .creation_stack = {"main", "make_pool"}});
    threads.push_back(thread);
    if (spec.running > 0) builder.run(thread, 0, kSeconds, builder.stack({"run_worker", "run_task", "parse_page"}), {.busy = spec.running});
    const double visits = spec.idle > 0 ? 50 : 1;
    builder.calls({.thread = thread, .call = Call::cond_wait, .object = kQueue, .stack = idle, .calls = visits, .each = std::max(1e-4, spec.idle * kSeconds / visits), .to = spec.idle > 0 ? kSeconds : 1});
    const double each = spec.waiting_tasks / spec.threads;
    if (spec.waits > 0) builder.calls({.thread = thread, .call = spec.waits_in, .object = object, .stack = task, .calls = each, .each = spec.waits * kSeconds / each, .to = kSeconds});
  }
  const auto submit = builder.stack({"main", "submit"}), nested = builder.stack({"run_worker", "run_task", "submit"});
  const double outside = 1 - spec.from_members;
  builder.calls({.call = Call::cond_signal, .object = kQueue, .stack = submit, .calls = outside * (spec.tasks - spec.unheard), .each = 0, .to = spec.until});
  builder.calls({.call = Call::wake_nobody, .object = kQueue, .stack = submit, .calls = outside * spec.unheard, .each = 0, .empty = spec.in_burst, .to = spec.until});
  if (spec.from_members > 0)
    builder.calls({.thread = threads[0], .call = Call::wake_nobody, .object = kQueue, .stack = nested, .calls = spec.from_members * spec.unheard, .each = 0, .to = spec.until});
  return threads;
}

std::unique_ptr<Model> model_with(const PoolSpec& spec) {
  TraceBuilder builder(spec.cpus);
  add_pool(builder, spec);
  return model_of(builder.finish(kSeconds));
}

std::string names_of(const Model& model) {
  std::string names;
  for (const auto rule : {pool_saturated, pool_blocking_task, pool_deadlock, pool_imbalance, pool_oversized, task_queue_wait})
    for (const Finding& finding : rule(model).findings) names += (names.empty() ? "" : " ") + std::string(to_string(finding.severity)) + ":" + finding.title;
  return names;
}

TEST(Pools, ThreadsThatComeBackForWorkAreOne) {
  const auto model = model_with({.threads = 3, .idle = 0.5, .waits = 0.4, .unheard = 60});
  ASSERT_EQ(model->pools.all.size(), 1u);
  const Pool& pool = model->pools.all[0];
  EXPECT_EQ(pool.size(), 3u);
  EXPECT_EQ(pool.label, "worker");
  EXPECT_NEAR(pool.utilization(), 0.5, 0.02);
  EXPECT_NEAR(pool.tasks, 600, 1);
  EXPECT_NEAR(pool.unheard, 60, 1);
  EXPECT_NEAR(pool.service(), 0.5 * 3 * kSeconds / 600, 0.002);
  EXPECT_EQ(pool.queues, std::set<std::uint64_t>{kQueue});
}

TEST(Pools, TheWaitNearestToTheRootIsTheOneForWork) {
  const auto model = model_with({.waits_in = Call::cond_wait});  // tasks wait far longer for something else of the same kind
  ASSERT_EQ(model->pools.all.size(), 1u);
  EXPECT_EQ(model->pools.all[0].queues, std::set<std::uint64_t>{kQueue});
  EXPECT_GT(model->pools.all[0].utilization(), 0.95);
}

TEST(Pools, FarMoreSignalsThanWaitsCountNoTasks) {
  const auto model = model_with({.tasks = 4000, .unheard = 2000});
  ASSERT_EQ(model->pools.all.size(), 1u);
  EXPECT_FALSE(model->pools.all[0].counts_tasks());
  EXPECT_FALSE(queue_of(model->pools.all[0]).known);
}

TEST(Pools, ThreadsThatWaitOnceToBeginAreNone) {
  TraceBuilder builder(4);
  const auto gate = builder.stack({"run_part", "wait_for_start"});
  for (int i = 0; i < 4; ++i) {
    const auto thread = builder.thread({.name = "part", .start_routine = "run_part"});
    builder.calls({.thread = thread, .call = Call::cond_wait, .object = kQueue, .stack = gate, .calls = 1, .each = 0.5});
    builder.run(thread, 1, kSeconds, builder.stack({"run_part", "compute"}));
  }
  builder.calls({.call = Call::cond_broadcast, .object = kQueue, .stack = builder.stack({"main"}), .calls = 1, .each = 0});
  EXPECT_TRUE(model_of(builder.finish(kSeconds))->pools.all.empty());
}

TEST(Pools, ASemaphoreThatItsWaitersPostIsALock) {
  TraceBuilder builder(4);
  const auto waits = builder.stack({"run_part", "enter"}), posts = builder.stack({"run_part", "leave"});
  for (int i = 0; i < 4; ++i) {
    const auto thread = builder.thread({.name = "part", .start_routine = "run_part"});
    builder.calls({.thread = thread, .call = Call::sem_wait, .object = kQueue, .stack = waits, .calls = 100, .each = 0.05, .to = kSeconds});
    builder.calls({.thread = thread, .call = Call::sem_post, .object = kQueue, .stack = posts, .calls = 100, .each = 0, .to = kSeconds});
  }
  EXPECT_TRUE(model_of(builder.finish(kSeconds))->pools.all.empty());
}

TEST(PoolSaturated, TooFewThreadsForTasksThatWait) {
  const auto model = model_with({});
  const auto result = pool_saturated(*model);
  ASSERT_EQ(result.findings.size(), 1u);
  const Finding& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.severity, Severity::high);
  EXPECT_EQ(finding.culprit.function, "fetch_page");
  EXPECT_EQ(finding.gain.metric, "wall_time");
  EXPECT_NEAR(finding.gain.fraction, 0.5, 0.03);  // tasks come for half of the time: with enough threads they are done as they come
  EXPECT_NEAR(evidence_number(finding, "mean wait in the queue"), 2.5, 0.1);
  EXPECT_THAT(finding.advice.front(), HasSubstr("give the pool 8 threads"));  // 120 a second for 33 ms: four, and two deviations
  EXPECT_TRUE(pool_blocking_task(*model).findings.empty());
}

TEST(PoolSaturated, APoolWithTimeLeftIsFine) { EXPECT_EQ(names_of(*model_with({.threads = 4, .idle = 0.6, .waits = 0.38, .unheard = 20, .until = kSeconds})), ""); }

TEST(PoolSaturated, MoreThreadsBringNothingWhereTheCpusAreTaken) {
  const auto result = pool_saturated(*model_with({.cpus = 2, .running = 1, .waits = 0}));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].severity, Severity::info);
  EXPECT_THAT(result.findings[0].title, HasSubstr("more threads would bring nothing"));
  EXPECT_EQ(result.findings[0].gain.fraction, 0);
}

TEST(PoolSaturated, AsManyThreadsAsThereAreCpusForTasksThatCompute) {
  const auto model = model_with({.cpus = 8, .running = 1, .waits = 0});
  const auto result = pool_saturated(*model);
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].culprit.function, "parse_page");
  EXPECT_THAT(result.findings[0].advice.front(), HasSubstr("give the pool 8 threads"));
}

TEST(PoolSaturated, TasksThatWaitForOneLockAreNoMatterOfSize) {
  EXPECT_TRUE(pool_saturated(*model_with({.waits_in = Call::mutex_lock})).findings.empty());
}

TEST(PoolSaturated, WithoutWordOfTasksItIsAGuess) {
  const auto result = pool_saturated(*model_with({.tasks = 3, .unheard = 0}));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_LE(result.findings[0].severity, Severity::medium);
  EXPECT_EQ(result.findings[0].gain.low, 0);
  EXPECT_THAT(result.findings[0].gain.how, HasSubstr("tells nobody of work"));
}

TEST(PoolSaturated, NothingIsGuessedOfThreadsThatWaitForThreads) {
  EXPECT_EQ(names_of(*model_with({.tasks = 0, .unheard = 0, .waits_in = Call::sem_wait})), "");
}

TEST(PoolSaturated, TheThresholdIsTheUsers) {
  TraceBuilder builder(4);
  add_pool(builder, {.idle = 0.3, .waits = 0.68});
  const auto model = model_of(builder.finish(kSeconds));
  EXPECT_TRUE(pool_saturated(*model).findings.empty());
  model->thresholds.set("pool-saturated-utilization", 0.6);
  EXPECT_EQ(pool_saturated(*model).findings.size(), 1u);
}

TEST(PoolSaturated, ThreadsThatWakeEachOtherOnlyTakeTurns) {
  EXPECT_EQ(names_of(*model_with({.from_members = 1})), "");
  EXPECT_THAT(names_of(*model_with({.from_members = 0.5})), HasSubstr("all busy"));
}

// A pool of four whose requests come in waves, all of them busy at the top of each: `served` says how many a peer finishes in a second with
// so many under way.
std::unique_ptr<Model> model_with_waves(double (*served)(double under_way)) {
  TraceBuilder builder(4);
  const auto peer = builder.peer("10.0.0.1:80");
  const auto idle = builder.stack({"run_worker", "take_task"}), task = builder.stack({"run_worker", "run_task", "fetch_page"}), submit = builder.stack({"main", "submit"});
  std::vector<std::uint64_t> threads;
  for (int i = 0; i < 4; ++i) threads.push_back(builder.thread({.name = "worker", .start_routine = "run_worker", .creation_stack = {"main", "make_pool"}}));
  constexpr double kInTurn[] = {0.2, 0.35, 0.5, 0.7, 1, 1, 1, 1, 1, 1};
  for (int second = 0; second < 40; ++second) {
    const double busy = kInTurn[second % 10], under_way = 4 * busy, done = served(under_way), from = second, to = second + 1;
    for (const auto thread : threads) {
      builder.calls({.thread = thread, .call = Call::recv, .object = peer, .stack = task, .calls = done / 4, .each = under_way / done, .from = from, .to = to});
      builder.calls({.thread = thread, .call = Call::cond_wait, .object = kQueue, .stack = idle, .calls = busy < 1 ? done / 4 : 0.1, .each = (1 - busy) / (done / 4), .from = from, .to = to});
    }
    builder.calls({.call = busy < 1 ? Call::cond_signal : Call::wake_nobody, .object = kQueue, .stack = submit, .calls = done * (busy < 1 ? 1 : 1.5), .each = 0, .from = from, .to = to});
  }
  return model_of(builder.finish(40));
}

TEST(PoolSaturated, WhatServesNoMoreAtATimeSetsTheLimit) {
  const auto model = model_with_waves([](double) { return 200.0; });
  const Scalability& law = model->pools.all.at(0).scaling.law;
  ASSERT_EQ(law.missing, "");
  EXPECT_NEAR(law.throughput(4), 200, 10);
  const auto result = pool_saturated(*model);
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_EQ(result.findings[0].severity, Severity::info);
  EXPECT_THAT(result.findings[0].title, HasSubstr("more threads would bring little"));
  EXPECT_EQ(result.findings[0].culprit.function, "fetch_page");
}

TEST(PoolSaturated, WhatServesAllAtATimeIsWorthMoreThreads) {
  const auto model = model_with_waves([](double under_way) { return 50 * under_way; });
  ASSERT_EQ(model->pools.all.at(0).scaling.law.missing, "");
  const auto result = pool_saturated(*model);
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_GE(result.findings[0].severity, Severity::medium);
  EXPECT_NEAR(stretched_by(model->pools.all[0], 8), 1, 0.05);
}

TEST(PoolSaturated, ThreadsThatSleepBetweenTurnsAreNotBusyWithTasks) {
  EXPECT_EQ(names_of(*model_with({.threads = 3, .tasks = 3, .unheard = 0, .waits_in = Call::sleep_until})), "");
  EXPECT_THAT(names_of(*model_with({.threads = 3, .tasks = 3, .unheard = 0})), HasSubstr("all busy")) << "for all that is known";
}

TEST(PoolBlockingTask, AFewTasksKeepTheOthersWaiting) {
  const auto model = model_with({.threads = 4, .waiting_tasks = 80});
  const auto result = pool_blocking_task(*model);
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_EQ(result.findings[0].culprit.function, "fetch_page");
  EXPECT_THAT(result.findings[0].title, HasSubstr("13 % of the tasks"));
  EXPECT_EQ(result.findings[0].gain.metric, "latency");
  EXPECT_GT(result.findings[0].gain.fraction, 0.8);
  EXPECT_TRUE(pool_saturated(*model).findings.empty());
}

TEST(PoolBlockingTask, AFewTasksThatHoldAllThreadsAtATime) {
  PoolSpec spec{.threads = 4, .idle = 0.6, .waits = 0.35, .tasks = 1000, .unheard = 300, .until = kSeconds, .waiting_tasks = 80};
  const auto model = model_with(spec);
  const auto result = pool_blocking_task(*model);
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_EQ(result.findings[0].culprit.function, "fetch_page");
  EXPECT_EQ(result.findings[0].gain.metric, "latency");
  // 30 % wait for half of 0.35 * 4 * 10 s / 80
  EXPECT_NEAR(queue_of(model->pools.all.at(0)).wait, 0.3 * 0.5 * 0.175, 0.002);
  spec.unheard = 30;  // as chance has it
  EXPECT_EQ(names_of(*model_with(spec)), "");
  spec.unheard = 300, spec.in_burst = 290;
  EXPECT_EQ(names_of(*model_with(spec)), "");
  spec.in_burst = 0, spec.waiting_tasks = 1000;  // each waits a little
  EXPECT_EQ(names_of(*model_with(spec)), "");
}

TEST(PoolDeadlock, TasksThatWaitForTasksOfTheirOwnPool) {
  const auto model = model_with({.from_members = 0.5, .waits_in = Call::futex_wait});
  const auto result = pool_deadlock(*model);
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_EQ(result.findings[0].severity, Severity::high);
  EXPECT_EQ(result.findings[0].culprit.function, "fetch_page");
  EXPECT_TRUE(pool_saturated(*model).findings.empty());
}

TEST(PoolDeadlock, AHangIsCritical) {
  TraceBuilder builder(4);
  const auto threads = add_pool(builder, {.from_members = 0.5, .waits_in = Call::futex_wait});
  const auto stack = builder.stack({"run_worker", "run_task", "fetch_page"});
  builder.finish(kSeconds);
  for (const auto thread : threads)
    builder.add(trace::StillBlocked{.t = static_cast<std::uint64_t>(kSeconds) * kSecond, .thread = thread, .call = static_cast<std::uint64_t>(Call::futex_wait), .object = kOther, .stack = stack,
                                    .since = 7 * kSecond});
  const auto result = pool_deadlock(*model_of(builder));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].severity, Severity::critical);
  EXPECT_EQ(result.findings[0].gain.metric, "availability");
  EXPECT_THAT(result.findings[0].title, HasSubstr("hang since 7.0 s"));
}

TEST(PoolDeadlock, TasksFromOutsideThatWaitForThreadsAreNone) { EXPECT_TRUE(pool_deadlock(*model_with({.waits_in = Call::futex_wait})).findings.empty()); }

// Threads with a queue each, of which the first gets most of the tasks.
std::unique_ptr<Model> model_with_queues(double of_first, bool first_ever_waits) {
  TraceBuilder builder(4);
  const auto idle = builder.stack({"run_worker", "take_task"}), submit = builder.stack({"main", "submit"}), task = builder.stack({"run_worker", "fetch_page"});
  for (unsigned i = 0; i < 4; ++i) {
    const auto thread = builder.thread({.name = "worker", .start_routine = "run_worker"});
    const double part = i == 0 ? of_first : (1 - of_first) / 3, busy = std::min(1.0, part * 1.3), tasks = 1000 * part;
    builder.calls({.thread = thread, .call = Call::recv, .object = builder.peer("10.0.0.1:80"), .stack = task, .calls = tasks, .each = busy * kSeconds / tasks, .to = kSeconds});
    if (i > 0 || first_ever_waits) builder.calls({.thread = thread, .call = Call::cond_wait, .object = kQueue + i, .stack = idle, .calls = 40, .each = std::max(1e-3, (1 - busy) * kSeconds / 40), .to = kSeconds});
    const double unheard = busy > 0.9 ? 0.9 : 0.05;
    builder.calls({.call = Call::wake_nobody, .object = kQueue + i, .stack = submit, .calls = unheard * tasks, .each = 0, .to = 3});
    builder.calls({.call = Call::cond_signal, .object = kQueue + i, .stack = submit, .calls = (1 - unheard) * tasks, .each = 0, .to = 3});
  }
  return model_of(builder.finish(kSeconds));
}

TEST(PoolImbalance, OneWorkerGetsMostOfTheTasks) {
  for (const bool first_ever_waits : {true, false}) {
    const auto model = model_with_queues(0.8, first_ever_waits);
    const auto result = pool_imbalance(*model);
    ASSERT_EQ(result.findings.size(), 1u) << first_ever_waits;
    EXPECT_EQ(incomplete(result.findings[0]), "");
    EXPECT_EQ(result.findings[0].severity, Severity::high);
    EXPECT_EQ(result.findings[0].gain.metric, "wall_time");
    EXPECT_NEAR(result.findings[0].gain.fraction, 1 - (1 + 0.26) / 4, 0.03);
    EXPECT_TRUE(pool_saturated(*model).findings.empty());
  }
}

// The same with channels into which work is put without a word to a thread that is busy; `first_in` is what the first is at all the time.
std::unique_ptr<Model> model_with_silent_queues(Call first_in, double bringer_held) {
  TraceBuilder builder(4);
  const auto idle = builder.stack({"run_worker", "take_task"}), task = builder.stack({"run_worker", "fetch_page"});
  for (unsigned i = 0; i < 4; ++i) {
    const auto thread = builder.thread({.name = "worker", .start_routine = "run_worker"});
    builder.calls({.thread = thread, .call = i ? Call::recv : first_in, .object = first_in == Call::epoll_wait && !i ? 0 : builder.peer("10.0.0.1:80"), .stack = task, .calls = i ? 20.0 : 800.0,
                   .each = i ? 0.002 : kSeconds / 800.0, .to = kSeconds});
    if (i == 0) continue;
    builder.calls({.thread = thread, .call = Call::futex_wait, .object = kQueue + i, .stack = idle, .calls = 20, .each = (kSeconds - 0.04) / 20, .to = kSeconds});
    builder.calls({.call = Call::futex_wake, .object = kQueue + i, .stack = builder.stack({"main", "submit"}), .calls = 20, .each = 0, .to = kSeconds});
  }
  if (bringer_held > 0) builder.calls({.call = Call::futex_wait, .object = kOther, .stack = builder.stack({"main", "submit"}), .calls = 500, .each = bringer_held * kSeconds / 500, .to = kSeconds});
  return model_of(builder.finish(kSeconds));
}

TEST(PoolImbalance, AWorkerThatIsNeverWithoutWorkWhileTheOthersAre) {
  const auto result = pool_imbalance(*model_with_silent_queues(Call::recv, 0.9));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_EQ(result.findings[0].severity, Severity::high);
  EXPECT_NEAR(result.findings[0].gain.fraction, 0.74, 0.03);
}

TEST(PoolImbalance, WhereWorkComesAsItDoesNothingIsWon) { EXPECT_TRUE(pool_imbalance(*model_with_silent_queues(Call::recv, 0)).findings.empty()); }

TEST(PoolImbalance, AWorkerThatWaitsForDescriptorsForAllIsFine) { EXPECT_TRUE(pool_imbalance(*model_with_silent_queues(Call::epoll_wait, 0.9)).findings.empty()); }

TEST(PoolImbalance, QueuesThatShareTheWorkAreFine) { EXPECT_EQ(names_of(*model_with_queues(0.3, true)), ""); }

// Two threads with time for all: 600 tasks of 2 ms come each second, in one burst or one by one.
PoolSpec with_bursts(double in_burst) {
  return {.idle = 0.4, .running = 0.6, .waits = 0, .tasks = 6000, .unheard = 5990, .until = kSeconds, .waiting_tasks = 0, .in_burst = in_burst};
}

TEST(TaskQueueWait, TasksOfABurstWaitForEachOther) {
  const auto result = task_queue_wait(*model_with(with_bursts(5990)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_EQ(result.findings[0].severity, Severity::medium);
  EXPECT_EQ(result.findings[0].gain.metric, "latency");
  EXPECT_NEAR(result.findings[0].gain.fraction, 0.3 / 0.302, 0.01) << "300 others are in front of a task on average, a thousand are done a second";
}

TEST(TaskQueueWait, AsManyOneByOneDoNot) { EXPECT_TRUE(task_queue_wait(*model_with(with_bursts(0))).findings.empty()); }

TEST(TaskQueueWait, NobodyElseWaitsForABatchThatItsBringerWaitsFor) {
  TraceBuilder builder(4);
  add_pool(builder, with_bursts(5990));
  builder.calls({.call = Call::futex_wait, .object = kOther, .stack = builder.stack({"main", "wait_for_all"}), .calls = 10, .each = 0.6, .to = kSeconds});
  EXPECT_TRUE(task_queue_wait(*model_of(builder.finish(kSeconds))).findings.empty());
}

PoolSpec trickle(unsigned threads) { return {.threads = threads, .idle = 0.98, .running = 0.01, .waits = 0, .tasks = 800, .unheard = 0, .until = kSeconds, .waiting_tasks = 0}; }

TEST(PoolOversized, ManyThreadsForATrickle) {
  const auto result = pool_oversized(*model_with(trickle(64)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_EQ(result.findings[0].severity, Severity::medium);
  EXPECT_EQ(result.findings[0].culprit.function, "make_pool");
  EXPECT_EQ(result.findings[0].gain.metric, "memory");
}

TEST(PoolOversized, AFewThreadsCostNothing) { EXPECT_EQ(names_of(*model_with(trickle(4))), ""); }

TEST(PoolOversized, APoolThatWasAskedNothingSaysNothing) {
  PoolSpec spec = trickle(64);
  spec.tasks = 5, spec.idle = 0.99;
  TraceBuilder builder(4);
  const auto idle = builder.stack({"run_worker", "take_task"});
  for (int i = 0; i < 64; ++i) {
    const auto thread = builder.thread({.name = "worker", .start_routine = "run_worker"});
    builder.calls({.thread = thread, .call = Call::cond_wait, .object = kQueue, .stack = idle, .calls = 1, .each = 9.9, .from = 9, .to = kSeconds});
  }
  builder.calls({.call = Call::cond_signal, .object = kQueue, .stack = builder.stack({"main"}), .calls = 5, .each = 0});
  EXPECT_EQ(names_of(*model_of(builder.finish(kSeconds))), "");
}

TEST(PoolRules, SayWhyTheyCannotLook) {
  TraceBuilder builder;
  builder.run(1, 0, 1, builder.stack({"main"}));
  const auto without_calls = model_of(builder.finish(1));
  for (const auto rule : {pool_saturated, pool_blocking_task, pool_deadlock, pool_imbalance, pool_oversized, task_queue_wait}) EXPECT_NE(rule(*without_calls).not_applicable, "");
}

}  // namespace
}  // namespace tailback::testing
