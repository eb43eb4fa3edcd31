// SPDX-License-Identifier: Apache-2.0
// Rules about waiting for locks and what they cost. Rings of locks: lock_rings_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::Finding;
using analyzers::lock_contention;
using analyzers::lock_long_hold;
using analyzers::lock_overuse;
using analyzers::lock_wake_storm;
using analyzers::Severity;
using trace::Call;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

constexpr std::uint64_t kTable = 0x7f0000001000, kQueue = 0x7f0000002000;
constexpr double kSeconds = 4;

// Workers that take a lock in turn and work while they hold it: what one does, the others wait for.
struct Crowd {
  unsigned cpus = 4, threads = 4;
  double waits = 1000, wait_seconds = 2.9;  // of each thread
  double busy = 0.25;                       // of its life, all of it inside
};

TraceBuilder crowd(const Crowd& spec) {
  TraceBuilder builder(spec.cpus);
  const auto waiter = builder.stack({"work", "update_table"}), holder = builder.stack({"work", "update_table"}), inside = builder.stack({"work", "update_table", "checksum"});
  for (unsigned i = 0; i < spec.threads; ++i) {
    const auto thread = builder.thread({.name = "worker", .start_routine = "work"});
    builder.run(thread, 0, kSeconds, inside, {.busy = spec.busy, .lock = kTable});
    builder.calls({.thread = thread, .call = Call::mutex_lock, .object = kTable, .stack = waiter, .calls = spec.waits, .each = spec.wait_seconds / spec.waits, .to = kSeconds});
    builder.calls({.thread = thread, .call = Call::unlock, .object = kTable, .stack = holder, .calls = spec.waits, .each = 0.9e-3, .to = kSeconds});
  }
  return builder;
}

double contention_gain(const TraceBuilder& builder) {
  const auto result = lock_contention(*model_of(builder));
  return result.findings.empty() ? 0 : result.findings[0].gain.fraction;
}

TEST(LockContention, TheHolderIsBlamedAndWhatHeDoes) {
  const auto result = lock_contention(*model_of(crowd({}).finish(kSeconds)));
  ASSERT_EQ(result.findings.size(), 1u);
  const Finding& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.severity, Severity::high);
  EXPECT_EQ(finding.culprit.function, "update_table");
  EXPECT_THAT(finding.title, AllOf(HasSubstr("4 threads wait 12 s in all (73 % of their lives)"), HasSubstr("held in update_table")));
  EXPECT_EQ(finding.gain.metric, "wall_time");
  EXPECT_NEAR(finding.gain.fraction, 2.9 / 4, 0.01);
  EXPECT_EQ(evidence_number(finding, "waits"), 4000);
  EXPECT_THAT(evidence_text(finding, "while held"), HasSubstr("checksum: 100 %"));
  EXPECT_THAT(finding.advice.front(), HasSubstr("do checksum before the lock is taken"));
  EXPECT_EQ(finding.stacks.front().role, "holder");
}

TEST(LockContention, WhoHeldItWhileOthersWaitedMattersAndNotWhoWaits) {
  TraceBuilder builder = crowd({});
  builder.calls({.call = Call::unlock, .object = kTable, .stack = builder.stack({"main", "rebuild"}), .calls = 20, .each = 0.19, .to = kSeconds});
  const auto result = lock_contention(*model_of(builder.finish(kSeconds)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].culprit.function, "rebuild");
}

// Threads that take turns by a condition below functions of these names; each signals it when it is done, where it does at all.
TraceBuilder turns_of_an_interpreter(const char* taker, bool signals) {
  TraceBuilder builder(4);
  const auto waiter = builder.stack({"thread_run", taker, "take_gil"}), giver = builder.stack({"thread_run", taker, "drop_gil"});
  for (unsigned i = 0; i < 4; ++i) {
    const auto thread = builder.thread({.name = "python3", .start_routine = "thread_run"});
    builder.run(thread, 0, kSeconds, builder.stack({"thread_run", taker}), {.busy = 0.25});
    builder.calls({.thread = thread, .call = Call::cond_wait, .object = kTable, .stack = waiter, .calls = 600, .each = 2.9 / 600, .to = kSeconds});
    if (signals) builder.calls({.thread = thread, .call = Call::cond_signal, .object = kTable, .stack = giver, .calls = 200, .each = 0, .to = kSeconds});
  }
  return builder;
}

TEST(LockContention, AnInterpretersLockIsOne) {
  const auto result = lock_contention(*model_of(turns_of_an_interpreter("_PyEval_EvalFrameDefault", true).finish(kSeconds)));
  ASSERT_EQ(result.findings.size(), 1u);
  const Finding& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_THAT(finding.title, HasSubstr("for the interpreter lock (CPython's GIL)"));
  EXPECT_EQ(finding.gain.metric, "wall_time");
  EXPECT_NEAR(finding.gain.fraction, 2.9 / 4, 0.02);
  EXPECT_THAT(evidence_text(finding, "held by"), HasSubstr("it ran 25 % of the time"));
  EXPECT_THAT(finding.advice.front(), HasSubstr("processes"));
}

TEST(LockContention, OtherConditionsAreNone) {
  EXPECT_TRUE(lock_contention(*model_of(turns_of_an_interpreter("serve", true).finish(kSeconds))).findings.empty());
  EXPECT_TRUE(lock_contention(*model_of(turns_of_an_interpreter("_PyEval_EvalFrameDefault", false).finish(kSeconds))).findings.empty()) << "who waits never has it";
}

TEST(LockContention, GainLeavesTheCpuTimeThatThereIs) {
  EXPECT_NEAR(contention_gain(crowd({.cpus = 2}).finish(kSeconds)), 2.0 / 4, 0.01) << "4 s of work on two CPUs";
  EXPECT_EQ(contention_gain(crowd({.cpus = 1}).finish(kSeconds)), 0);
}

TEST(LockContention, GainLeavesTheSlowestThread) {
  TraceBuilder builder = crowd({});
  const auto other = builder.thread({.name = "compress"});
  builder.run(other, 0, kSeconds, builder.stack({"compress"}), {.busy = 0.8});
  EXPECT_NEAR(contention_gain(builder.finish(kSeconds)), 0.8 / 4, 0.01);
}

// Main loads for six seconds, then four workers contend for four.
TEST(LockContention, WhatWasDoneBeforeTheContendersLivedDoesNotCount) {
  TraceBuilder builder(4);
  builder.run(1, 0, 6, builder.stack({"main", "load"}), {.busy = 1});
  builder.calls({.call = Call::thread_join, .object = 7, .stack = builder.stack({"main"}), .calls = 4, .each = 0.99, .from = 6, .to = 10});
  for (int i = 0; i < 4; ++i) {
    const auto thread = builder.thread({.name = "worker", .start = 6});
    builder.run(thread, 6, 10, builder.stack({"work", "update"}), {.busy = 0.25, .lock = kTable});
    builder.calls({.thread = thread, .call = Call::mutex_lock, .object = kTable, .stack = builder.stack({"work", "update"}), .calls = 1000, .each = 0.0029, .from = 6, .to = 10});
  }
  EXPECT_NEAR(contention_gain(builder.finish(10)), 2.9 / 10, 0.01);
}

// Five rounds of two seconds, each with four threads of its own: what one thread saves, each round does.
TEST(LockContention, RoundsOfNewThreadsAddUp) {
  TraceBuilder builder(4);
  for (int round = 0; round < 5; ++round)
    for (int i = 0; i < 4; ++i) {
      const double from = 2 * round, to = from + 2;
      const auto thread = builder.thread({.name = "worker", .start = from});
      builder.run(thread, from, to, builder.stack({"work", "update"}), {.busy = 0.25, .lock = kTable});
      builder.calls({.thread = thread, .call = Call::mutex_lock, .object = kTable, .stack = builder.stack({"work", "update"}), .calls = 500, .each = 0.0029, .from = from, .to = to});
      builder.end_thread(thread, to);
    }
  EXPECT_NEAR(contention_gain(builder.finish(10)), 2.9 / 4, 0.03);
}

TEST(LockContention, NeverMoreThanTheTimeThatWasWaited) {
  for (const double wait : {0.2, 0.5, 1.0, 2.0, 2.9, 30.0}) EXPECT_LE(contention_gain(crowd({.wait_seconds = wait}).finish(kSeconds)), std::min(wait, 3.0) / 4 + 1e-6) << wait;
}

TEST(LockContention, NegligibleWaitsAreFine) {
  const auto result = lock_contention(*model_of(crowd({.wait_seconds = 0.05}).finish(kSeconds)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.fine, HasSubstr("threads waited 200 ms for locks"));
  EXPECT_TRUE(lock_contention(*model_of(crowd({.threads = 2, .waits = 4}).finish(kSeconds))).findings.empty()) << "a few waits at the start are no contention";
}

TEST(LockContention, ALockHeldForANanosecondIsToBeTakenLessOften) {
  TraceBuilder builder = crowd({});
  builder.calls({.thread = 2, .call = Call::mutex_hold, .object = kTable, .stack = builder.stack({"work", "update_table"}), .calls = 1e6, .each = 150e-9, .to = kSeconds});
  const auto result = lock_contention(*model_of(builder.finish(kSeconds)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_THAT(result.findings[0].advice.front(), HasSubstr("take it less often"));
}

TEST(LockContention, ThreadsThatMostlyWaitForWorkGainLatency) {
  TraceBuilder builder(4);
  for (int i = 0; i < 4; ++i) {
    const auto thread = builder.thread({.name = "server", .start_routine = "serve"});
    builder.run(thread, 0, kSeconds, builder.stack({"serve", "reply"}), {.busy = 0.1, .lock = kTable});
    builder.calls({.thread = thread, .call = Call::epoll_wait, .stack = builder.stack({"serve"}), .calls = 200, .each = 0.014, .to = kSeconds});
    builder.calls({.thread = thread, .call = Call::mutex_lock, .object = kTable, .stack = builder.stack({"serve", "reply"}), .calls = 200, .each = 0.002, .to = kSeconds});
  }
  const auto result = lock_contention(*model_of(builder.finish(kSeconds)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_EQ(result.findings[0].gain.metric, "latency");
  EXPECT_NEAR(result.findings[0].gain.fraction, 0.5, 0.01);
}

TEST(LockLongHold, AFlushUnderTheLockIsTheCause) {
  TraceBuilder builder = crowd({.busy = 0.01});
  const auto journal = builder.file("/data/journal"), commit = builder.stack({"work", "update_table", "commit"});
  builder.calls({.thread = 2, .call = Call::fdatasync, .object = journal, .stack = commit, .calls = 1800, .each = 0.002, .to = kSeconds, .lock = kTable});
  const auto model = model_of(builder.finish(kSeconds));
  EXPECT_TRUE(lock_contention(*model).findings.empty());
  const auto result = lock_long_hold(*model);
  ASSERT_EQ(result.findings.size(), 1u);
  const Finding& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.severity, Severity::high);
  EXPECT_EQ(finding.culprit.function, "update_table");
  EXPECT_THAT(finding.title, HasSubstr("held across fdatasync on /data/journal in update_table"));
  EXPECT_NEAR(evidence_number(finding, "held while waiting for disk"), 3.6, 1e-3);
  EXPECT_THAT(finding.advice, Contains(HasSubstr("one thread write and flush for all")));
  EXPECT_EQ(finding.stacks.front().role, "blocked");
}

TEST(LockLongHold, AnotherLockWaitedForMeanwhileIsNotTheCallToMoveOut) {
  TraceBuilder builder = crowd({.busy = 0.01});
  const auto commit = builder.stack({"work", "update_table", "commit"}), push = builder.stack({"work", "update_table", "push"});
  builder.calls({.thread = 2, .call = Call::fdatasync, .object = builder.file("/data/journal"), .stack = commit, .calls = 800, .each = 0.002, .to = kSeconds, .lock = kTable});
  builder.calls({.thread = 2, .call = Call::mutex_lock, .object = kQueue, .stack = push, .calls = 800, .each = 0.0025, .to = kSeconds, .lock = kTable});
  const auto result = lock_long_hold(*model_of(builder.finish(kSeconds)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].culprit.function, "update_table");
}

TEST(LockLongHold, TheSameFlushWithoutTheLockIsNot) {
  TraceBuilder builder = crowd({});
  builder.calls({.thread = 2, .call = Call::fdatasync, .object = builder.file("/data/journal"), .stack = builder.stack({"work", "commit"}), .calls = 100, .each = 0.002, .to = kSeconds});
  const auto model = model_of(builder.finish(kSeconds));
  EXPECT_EQ(lock_contention(*model).findings.size(), 1u);
  EXPECT_TRUE(lock_long_hold(*model).findings.empty());
}

// Servers that let one thread at a time wait for a client: the others would only wait elsewhere.
TEST(LockLongHold, ALockAroundAcceptHoldsNobodyUp) {
  TraceBuilder builder = crowd({.busy = 0.05});
  const auto port = builder.endpoint("0.0.0.0:80", {.kind = trace::EndpointKind::tcp_listening});
  builder.calls({.thread = 2, .call = Call::accept, .object = port, .stack = builder.stack({"work", "accept_one"}), .calls = 350, .each = 0.01, .to = kSeconds, .lock = kTable});
  const auto model = model_of(builder.finish(kSeconds));
  EXPECT_TRUE(lock_long_hold(*model).findings.empty());
  EXPECT_TRUE(lock_contention(*model).findings.empty());
}

TEST(LockLongHold, NobodyIsHeldUpNothingIsSaid) {
  TraceBuilder builder(4);
  builder.calls({.call = Call::fdatasync, .object = builder.file("/data/journal"), .stack = builder.stack({"main", "commit"}), .calls = 1800, .each = 0.002, .to = kSeconds, .lock = kTable});
  const auto result = lock_long_hold(*model_of(builder.finish(kSeconds)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.fine, HasSubstr("locks were held for 3.6 s across calls that block"));
}

// While kTable is held, kQueue is waited for: others hold that one and work.
TEST(LockChain, TheLockAtTheEndIsBlamed) {
  TraceBuilder builder(8);
  const auto outer = builder.stack({"work", "enter"}), inner = builder.stack({"work", "enter", "drain_queue"}), sort = builder.stack({"feed", "sort_queue"});
  for (int i = 0; i < 3; ++i) {
    const auto thread = builder.thread({.name = "worker", .start_routine = "work"});
    builder.calls({.thread = thread, .call = Call::mutex_lock, .object = kTable, .stack = outer, .calls = 500, .each = 0.005, .to = kSeconds});
    builder.calls({.thread = thread, .call = Call::mutex_lock, .object = kQueue, .stack = inner, .calls = 500, .each = 0.0026, .to = kSeconds, .lock = kTable});
    builder.run(thread, 0, kSeconds, inner, {.busy = 0.01, .lock = kTable});
  }
  for (int i = 0; i < 2; ++i) {
    const auto thread = builder.thread({.name = "feeder", .start_routine = "feed"});
    builder.calls({.thread = thread, .call = Call::mutex_lock, .object = kQueue, .stack = sort, .calls = 500, .each = 0.004, .to = kSeconds});
    builder.calls({.thread = thread, .call = Call::unlock, .object = kQueue, .stack = sort, .calls = 500, .each = 0.003, .to = kSeconds});
    builder.run(thread, 0, kSeconds, sort, {.busy = 0.45, .lock = kQueue});
  }
  const auto model = model_of(builder.finish(kSeconds));
  const auto result = lock_contention(*model);
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].culprit.function, "sort_queue");
  EXPECT_THAT(evidence_text(result.findings[0], "lock"), HasSubstr("0x7f0000002000"));
  EXPECT_TRUE(lock_long_hold(*model).findings.empty()) << "waiting for a lock is no call to move out of it";
}

// Reads a table under a read-write lock that hardly anybody waits for.
struct Reads {
  double each_second = 2e6, in_lock = 0.4, wait_each = 0;
};

TraceBuilder reads(const Reads& spec) {
  TraceBuilder builder(2);
  builder.define("pthread_rwlock_rdlock", {.module = "libc.so.6"});
  const auto look_up = builder.stack({"main", "look_up"}), lock = builder.stack({"main", "look_up", "pthread_rwlock_rdlock"});
  builder.run(1, 0, kSeconds, lock, {.busy = spec.in_lock}).run(1, 0, kSeconds, look_up, {.busy = 0.9 - spec.in_lock});
  builder.calls({.call = Call::rwlock_hold, .object = kTable, .stack = look_up, .calls = spec.each_second * kSeconds, .each = 50e-9, .to = kSeconds});
  builder.calls({.call = Call::rwlock_rdlock, .object = kTable, .stack = look_up, .calls = 1000, .each = spec.wait_each, .to = kSeconds});
  return builder;
}

TEST(LockOveruse, CpuTimeInTheLockItself) {
  const auto result = lock_overuse(*model_of(reads({}).finish(kSeconds)));
  ASSERT_EQ(result.findings.size(), 1u);
  const Finding& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.severity, Severity::high);
  EXPECT_EQ(finding.culprit.function, "look_up");
  EXPECT_THAT(finding.title, AllOf(HasSubstr("look_up takes a read-write lock 2.0 million times a second"), HasSubstr("44 % of CPU time")));
  EXPECT_NEAR(finding.gain.fraction, 0.4, 0.01);
  EXPECT_NEAR(evidence_number(finding, "CPU time in taking it and giving it back"), 1.6, 0.01);
  EXPECT_THAT(finding.advice.front(), HasSubstr("immutable snapshot"));
}

TEST(LockOveruse, WithFewAcquisitionsItIsSomethingElse) {
  const auto result = lock_overuse(*model_of(reads({.each_second = 20'000}).finish(kSeconds)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.fine, HasSubstr("20000 times a second"));
}

TEST(LockOveruse, OftenButCheapIsFine) { EXPECT_TRUE(lock_overuse(*model_of(reads({.in_lock = 0.05}).finish(kSeconds))).findings.empty()); }

TEST(LockOveruse, ThreadsThatWaitForItAreContention) {
  EXPECT_EQ(lock_overuse(*model_of(reads({.wait_each = 100e-6}).finish(kSeconds))).findings.size(), 1u);
  EXPECT_TRUE(lock_overuse(*model_of(reads({.in_lock = 0.1, .wait_each = 1e-3}).finish(kSeconds))).findings.empty());
}

TEST(LockOveruse, OtherLocksTakenElsewhereAreNotMeant) {
  TraceBuilder builder = reads({.each_second = 1000});
  builder.calls({.call = Call::mutex_hold, .object = kQueue, .stack = builder.stack({"main", "count"}), .calls = 8e6, .each = 50e-9, .to = kSeconds});
  EXPECT_TRUE(lock_overuse(*model_of(builder.finish(kSeconds))).findings.empty());
}

TEST(LockOveruse, WithoutSamplesItIsNotApplicable) {
  TraceBuilder builder;
  builder.calls({.call = Call::mutex_hold, .object = kQueue, .calls = 8e6, .each = 50e-9, .to = kSeconds});
  EXPECT_THAT(lock_overuse(*model_of(builder.finish(kSeconds))).not_applicable, HasSubstr("samples"));
}

// A producer that wakes all of its idle workers for each job.
struct Storm {
  double broadcasts = 2000, woken = 8, for_nothing = 7;  // threads, of each
};

TraceBuilder storm(const Storm& spec) {
  TraceBuilder builder(2);
  builder.define("pthread_cond_wait", {.module = "libc.so.6"});
  const auto produce = builder.stack({"main", "add_job"}), next = builder.stack({"work", "next_job"}), inside = builder.stack({"work", "next_job", "pthread_cond_wait"});
  builder.calls({.call = Call::cond_broadcast, .object = kQueue, .stack = produce, .calls = spec.broadcasts, .each = 2e-6, .bytes_each = spec.woken, .to = kSeconds});
  for (int i = 0; i < 8; ++i) {
    const auto thread = builder.thread({.name = "worker", .start_routine = "work"});
    builder.calls({.thread = thread, .call = Call::cond_wait, .object = kQueue, .stack = next, .calls = 2000, .each = 0.0019, .to = kSeconds});
    builder.calls({.thread = thread, .call = Call::cond_wait_again, .object = kQueue, .calls = spec.broadcasts * spec.for_nothing / 8, .to = kSeconds});
    builder.run(thread, 0, kSeconds, inside, {.busy = 0.02});
    builder.run(thread, 0, kSeconds, builder.stack({"work"}), {.busy = 0.02});
  }
  return builder;
}

TEST(LockWakeStorm, AllAreWokenForOnePieceOfWork) {
  const auto result = lock_wake_storm(*model_of(storm({}).finish(kSeconds)));
  ASSERT_EQ(result.findings.size(), 1u);
  const Finding& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.culprit.function, "add_job");
  EXPECT_THAT(finding.title, HasSubstr("each of 2000 wake-ups in add_job wakes 8 threads, and 88 % of them find nothing to do"));
  EXPECT_NEAR(finding.gain.fraction, 0.5 * 7 / 8, 0.01) << "half of CPU time is in the calls that wait, seven of eight for nothing";
  EXPECT_EQ(finding.gain.metric, "cpu_time");
  EXPECT_THAT(finding.advice.front(), HasSubstr("notify_one"));
}

TEST(LockWakeStorm, SilentWhereFewWaitOrAllHaveWork) {
  EXPECT_TRUE(lock_wake_storm(*model_of(storm({.woken = 2, .for_nothing = 1}).finish(kSeconds))).findings.empty()) << "two waiters";
  EXPECT_TRUE(lock_wake_storm(*model_of(storm({.for_nothing = 1}).finish(kSeconds))).findings.empty()) << "seven of eight had work";
  EXPECT_TRUE(lock_wake_storm(*model_of(storm({.broadcasts = 40}).finish(kSeconds))).findings.empty()) << "hardly ever";
}

TEST(LockWakeStorm, ConditionsThatAreNoLongerToldApartAreNotOne) {
  TraceBuilder builder;
  builder.calls({.call = Call::cond_broadcast, .object = 0, .stack = builder.stack({"main", "add_job"}), .calls = 2000, .bytes_each = 8, .to = kSeconds});
  builder.calls({.call = Call::cond_wait_again, .object = 0, .calls = 14000, .to = kSeconds});
  EXPECT_TRUE(lock_wake_storm(*model_of(builder.finish(kSeconds))).findings.empty());
}

TEST(LockRules, WithoutRecordsOfCallsTheyAreNotApplicable) {
  TraceBuilder old;
  old.run(1, 0, 1, old.stack({"main"}));
  const auto model = model_of(old.finish(1));
  for (const auto rule : {lock_contention, lock_long_hold, lock_overuse, lock_wake_storm, analyzers::lock_order_inversion})
    EXPECT_THAT(rule(*model).not_applicable, HasSubstr("no calls"));
}

}  // namespace
}  // namespace tailback::testing
