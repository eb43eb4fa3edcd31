// SPDX-License-Identifier: Apache-2.0
// Locks taken in orders that can deadlock, and threads that did.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::deadlock;
using analyzers::lock_order_inversion;
using analyzers::RuleResult;
using analyzers::Severity;
using trace::Call;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::uint64_t kA = 0xa000, kB = 0xb000, kC = 0xc000, kGate = 0xf000;

std::uint64_t nanoseconds(double seconds) { return static_cast<std::uint64_t>(seconds * 1e9); }

// One lock taken while another was held.
struct Pair {
  std::uint64_t thread = 1, held = 0, taken = 0;
  const char* where = "transfer";
  std::uint64_t gate = 0;
  bool taken_known = true;  // where the second was taken
  Call held_call = Call::mutex_lock, taken_call = Call::mutex_lock;
  double first = 1, last = 9;
};

// A program of ten seconds in which some call blocked.
class Program : public TraceBuilder {
 public:
  Program() { calls({.call = Call::sleep, .stack = stack({"main"}), .calls = 10, .each = 0.1, .to = 10}); }

  Program& takes(const Pair& pair) {
    const auto at = stack({"work", pair.where});
    add(trace::LockOrder{.held = pair.held, .taken = pair.taken, .thread = pair.thread, .held_stack = at, .taken_stack = pair.taken_known ? at : 0,
                         .held_call = static_cast<std::uint64_t>(pair.held_call), .taken_call = static_cast<std::uint64_t>(pair.taken_call), .gate1 = pair.gate,
                         .first = nanoseconds(pair.first), .last = nanoseconds(pair.last)});
    return *this;
  }
  std::uint64_t worker(double start = 0, std::uint64_t creator = 1) { return thread({.name = "worker", .start = start, .start_routine = "work", .creator = creator}); }

  RuleResult inversions() { return lock_order_inversion(*model_of(finish(10))); }
};

TEST(LockOrderInversion, TwoLocksInBothOrders) {
  Program program;
  const auto other = program.worker();
  program.takes({.held = kA, .taken = kB, .where = "deposit"}).takes({.thread = other, .held = kB, .taken = kA, .where = "withdraw"});
  const auto result = program.inversions();
  ASSERT_EQ(result.findings.size(), 1u);
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.severity, Severity::medium);
  EXPECT_EQ(finding.gain.metric, "availability");
  EXPECT_EQ(finding.title, "2 threads take 2 locks in orders that can deadlock (deposit, withdraw)");
  EXPECT_THAT(evidence_text(finding, "thread 4244 (worker)"), AllOf(HasSubstr("holds mutex at 0xb000"), HasSubstr("takes mutex at 0xa000")));
  EXPECT_EQ(finding.stacks.size(), 4u);
}

TEST(LockOrderInversion, WithoutTheStackOfTheSecondLockTheFirstTellsWhere) {
  Program program;
  const auto other = program.worker();
  program.takes({.held = kA, .taken = kB, .taken_known = false}).takes({.thread = other, .held = kB, .taken = kA, .taken_known = false});
  const auto result = program.inversions();
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_EQ(result.findings[0].culprit.function, "transfer");
}

TEST(LockOrderInversion, ThreeLocksInARing) {
  Program program;
  const auto second = program.worker(), third = program.worker();
  program.takes({.held = kA, .taken = kB}).takes({.thread = second, .held = kB, .taken = kC});
  Program open = program;
  EXPECT_TRUE(open.inversions().findings.empty());
  const auto result = program.takes({.thread = third, .held = kC, .taken = kA}).inversions();
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_THAT(result.findings[0].title, HasSubstr("3 threads take 3 locks"));
}

TEST(LockOrderInversion, OneThreadAloneNeverWaitsForItself) {
  EXPECT_TRUE(Program().takes({.held = kA, .taken = kB}).takes({.held = kB, .taken = kA}).inversions().findings.empty());
  Program two_of_three;
  const auto other = two_of_three.worker();
  two_of_three.takes({.held = kA, .taken = kB}).takes({.thread = other, .held = kB, .taken = kC}).takes({.held = kC, .taken = kA});
  const auto result = two_of_three.inversions();
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.fine, HasSubstr("3 pairs of locks held together"));
}

TEST(LockOrderInversion, ALockAroundBothKeepsThemApart) {
  const auto gated = [](std::uint64_t gate, std::uint64_t other_gate) {
    Program program;
    const auto other = program.worker();
    return program.takes({.held = kA, .taken = kB, .gate = gate}).takes({.thread = other, .held = kB, .taken = kA, .gate = other_gate}).inversions().findings.size();
  };
  EXPECT_EQ(gated(kGate, kGate), 0u);
  EXPECT_EQ(gated(kGate, kC), 1u) << "a lock of its own each";
  EXPECT_EQ(gated(kGate, 0), 1u);
}

TEST(LockOrderInversion, WhatCameBeforeTheThreadWasCreated) {
  const auto main_until = [](double last) {
    Program program;
    const auto other = program.worker(2);
    return program.takes({.held = kA, .taken = kB, .first = 0.5, .last = last}).takes({.thread = other, .held = kB, .taken = kA, .first = 3}).inversions().findings.size();
  };
  EXPECT_EQ(main_until(1.5), 0u);
  EXPECT_EQ(main_until(2.5), 1u);
}

TEST(LockOrderInversion, WhatCameBeforeTheThreadsCreatorWasCreated) {
  Program program;
  const auto creator = program.worker(2), created = program.worker(3, creator);
  program.takes({.held = kA, .taken = kB, .first = 0.5, .last = 1}).takes({.thread = created, .held = kB, .taken = kA, .first = 4});
  EXPECT_TRUE(program.inversions().findings.empty());
}

// Of brothers the one may be a moment earlier or later: nobody made the second wait for what the first did.
TEST(LockOrderInversion, ABrotherCreatedAMomentLaterIsNotOrdered) {
  Program program;
  const auto first = program.worker(1), second = program.worker(1.001);
  program.takes({.thread = first, .held = kA, .taken = kB, .first = 1.0005, .last = 1.0005}).takes({.thread = second, .held = kB, .taken = kA, .first = 1.0015, .last = 1.0015});
  EXPECT_EQ(program.inversions().findings.size(), 1u);
}

TEST(LockOrderInversion, WhatItsCreatorDoesAfterTheThreadsEnd) {
  const auto main_from = [](double first) {
    Program program;
    const auto worker = program.worker(1);
    program.end_thread(worker, 3);
    return program.takes({.thread = worker, .held = kA, .taken = kB, .first = 1.5, .last = 2}).takes({.held = kB, .taken = kA, .first = first}).inversions().findings.size();
  };
  EXPECT_EQ(main_from(3.5), 0u) << "it was joined";
  EXPECT_EQ(main_from(2.5), 1u);
}

TEST(LockOrderInversion, ThreadsWhoseLivesDoNotOverlap) {
  Program program;
  const auto first = program.worker(0), second = program.worker(3);
  program.end_thread(first, 2).end_thread(second, 5);
  program.takes({.thread = first, .held = kA, .taken = kB, .first = 0.5, .last = 1}).takes({.thread = second, .held = kB, .taken = kA, .first = 3.5, .last = 4});
  EXPECT_TRUE(program.inversions().findings.empty());
}

TEST(LockOrderInversion, ReadersLetEachOtherIn) {
  const auto with = [](Call held, Call taken) {
    Program program;
    const auto other = program.worker();
    return program.takes({.held = kA, .taken = kB, .held_call = held}).takes({.thread = other, .held = kB, .taken = kA, .taken_call = taken}).inversions().findings.size();
  };
  EXPECT_EQ(with(Call::rwlock_rdlock, Call::rwlock_rdlock), 0u);
  EXPECT_EQ(with(Call::rwlock_wrlock, Call::rwlock_rdlock), 1u);
  EXPECT_EQ(with(Call::rwlock_rdlock, Call::rwlock_wrlock), 1u);
  Program higher;  // the same, of the lock with the higher address
  const auto other = higher.worker();
  higher.takes({.held = kA, .taken = kB, .taken_call = Call::rwlock_rdlock}).takes({.thread = other, .held = kB, .taken = kA, .held_call = Call::rwlock_rdlock});
  EXPECT_TRUE(higher.inversions().findings.empty());
}

TEST(LockOrderInversion, ManyObjectsWithTheSamePlacesAreToldOnceAndHideNoOther) {
  Program program;
  const auto other = program.worker();
  for (std::uint64_t i = 0; i < 100; ++i) program.takes({.held = kA + 64 * i, .taken = kB + 64 * i}).takes({.thread = other, .held = kB + 64 * i, .taken = kA + 64 * i});
  program.takes({.held = 0xe000, .taken = 0xe040, .where = "open"}).takes({.thread = other, .held = 0xe040, .taken = 0xe000, .where = "close"});
  const auto result = program.inversions();
  ASSERT_EQ(result.findings.size(), 2u);
  EXPECT_THAT(result.findings[0].title, HasSubstr("(transfer)"));
  EXPECT_THAT(result.findings[1].title, HasSubstr("(close, open)"));
}

TEST(LockOrderInversion, ADenseTangleOfLocksIsSearchedWithinBounds) {
  Program program;
  std::vector<std::uint64_t> threads;
  for (int i = 0; i < 8; ++i) threads.push_back(program.worker());
  for (std::uint64_t held = 1; held <= 40; ++held)
    for (std::uint64_t taken = 1; taken <= 40; ++taken) program.takes({.thread = threads[(held + taken) % 8], .held = held * 64, .taken = taken * 64});
  const auto result = program.inversions();
  EXPECT_GE(result.findings.size(), 1u);
  EXPECT_LE(result.findings.size(), 20u);
}

TEST(LockOrderInversion, OnlyWhereTheOrderWasRecorded) {
  Program program;
  program.add(trace::Option{.name = "locks", .value = "on"});
  EXPECT_THAT(program.inversions().not_applicable, HasSubstr("--locks on"));
  Program recorded;
  recorded.add(trace::Option{.name = "locks", .value = "order"});
  const auto result = recorded.inversions();
  EXPECT_EQ(result.not_applicable, "");
  EXPECT_THAT(result.fine, HasSubstr("no thread took a lock while it held another"));
}

struct Member {
  std::uint64_t thread = 1, object = kA, owner = 2;
  const char* waits = "withdraw";
  const char* owner_took = "deposit";
  Call call = Call::mutex_lock;
};

// Rings that were certain at two seconds; everybody in them has waited since the first.
RuleResult deadlocks(Program& program, const std::vector<Member>& members, std::uint64_t of) {
  for (const Member& member : members)
    program.add(trace::Deadlock{.t = 2 * kSecond, .number = 1, .members = of, .thread = member.thread, .call = static_cast<std::uint64_t>(member.call), .object = member.object,
                                .since = kSecond, .stack = program.stack({"work", member.waits}), .owner = member.owner,
                                .owner_stack = member.owner_took ? program.stack({"work", member.owner_took}) : 0});
  return deadlock(*model_of(program.finish(10)));
}

TEST(Deadlock, TwoThreadsForEver) {
  Program program;
  const auto other = program.worker();
  const auto result = deadlocks(program, {{.object = kB, .owner = other}, {.thread = other, .owner = 1, .waits = "deposit"}}, 2);
  ASSERT_EQ(result.findings.size(), 1u);
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.severity, Severity::critical);
  EXPECT_EQ(finding.gain.metric, "availability");
  EXPECT_EQ(finding.gain.fraction, 1);
  EXPECT_EQ(finding.culprit.function, "withdraw");
  EXPECT_EQ(finding.title, "2 threads wait for each other for ever, in withdraw and deposit");
  EXPECT_THAT(evidence_text(finding, "thread 4242 (program)"), HasSubstr("waits for the mutex at 0xb000 that thread 4244 (worker) holds"));
  EXPECT_EQ(finding.stacks.size(), 4u);
  EXPECT_NEAR(finding.stacks[0].weight, 1, 1e-9);
}

TEST(Deadlock, AThreadThatHoldsTheLockItself) {
  Program program;
  const auto result = deadlocks(program, {{.owner = 1}}, 1);
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_THAT(result.findings[0].title, HasSubstr("waits for ever for a mutex that it holds itself, in withdraw"));
  EXPECT_THAT(evidence_text(result.findings[0], "thread 4242 (program)"), HasSubstr("that it holds"));
}

TEST(Deadlock, AJoinInTheRing) {
  Program program;
  const auto other = program.worker();
  const auto result = deadlocks(program, {{.object = 0x7f00, .owner = other, .waits = "stop", .owner_took = nullptr, .call = Call::thread_join}, {.thread = other, .owner = 1}}, 2);
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_THAT(result.findings[0].title, HasSubstr("in stop and withdraw"));
  EXPECT_EQ(evidence_text(result.findings[0], "thread 4242 (program)"), "waits for thread 4244 (worker) to end");
  EXPECT_THAT(result.findings[0].advice.back(), HasSubstr("never join"));
}

// The recording ends between the two records.
TEST(Deadlock, ARingOfWhichOneMemberIsKnownIsNoThreadThatHoldsItsOwnLock) {
  Program program;
  const auto other = program.worker();
  const auto result = deadlocks(program, {{.object = kB, .owner = other}}, 2);
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_THAT(result.findings[0].title, Not(HasSubstr("itself")));
  EXPECT_EQ(incomplete(result.findings[0]), "");
}

constexpr std::uint64_t kCondition = 0xc0de;

// At four seconds all threads sleep: the worker waits on a condition since the second, the first thread for its end since the first.
RuleResult standstill(Program& program, std::uint64_t worker, bool handlers = false) {
  const auto waits = [&](std::uint64_t thread, Call call, std::uint64_t object, std::uint64_t since, const char* where) {
    program.add(trace::StuckWait{.t = 4 * kSecond, .number = 1, .members = 2, .thread = thread, .call = static_cast<std::uint64_t>(call), .object = object, .since = since * kSecond,
                                 .stack = program.stack({"work", where}), .handlers = handlers});
  };
  waits(1, Call::thread_join, 0x7f00, 1, "stop");
  waits(worker, Call::cond_wait, kCondition, 2, "next_task");
  return deadlock(*model_of(program.finish(10)));
}

TEST(Deadlock, SuspectedWhereNobodyIsLeftToWakeAnyone) {
  Program program;
  const auto result = standstill(program, program.worker());
  ASSERT_EQ(result.findings.size(), 1u);
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.severity, Severity::high);
  EXPECT_LT(finding.confidence, 0.9);
  EXPECT_EQ(finding.culprit.function, "next_task");
  EXPECT_EQ(finding.title, "suspected deadlock: both threads wait for each other, and nobody is left to wake one, in next_task, stop");
  EXPECT_THAT(evidence_text(finding, "thread 4244 (worker)"), AllOf(HasSubstr("the condition at 0xc0de"), HasSubstr("nobody was seen waking")));
  EXPECT_EQ(evidence_text(finding, "thread 4242 (program)"), "waits for another thread to end");
}

TEST(Deadlock, AHandlerMayWakeWhomNoThreadHasEverWoken) {
  Program program;
  EXPECT_TRUE(standstill(program, program.worker(), true).findings.empty());
  Program woken;
  const auto worker = woken.worker();
  woken.calls({.thread = 1, .call = Call::cond_signal, .object = kCondition, .stack = woken.stack({"submit"}), .calls = 3});
  const auto result = standstill(woken, worker, true);
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_THAT(evidence_text(result.findings[0], "thread 4244 (worker)"), HasSubstr("woken from it so far by thread 4242 (program)"));
}

TEST(Deadlock, AStandstillThatIsOverWasNone) {
  Program program;
  const auto worker = program.worker();
  Program over = program;
  EXPECT_EQ(standstill(program, worker).findings.size(), 1u);
  over.add(trace::StuckWait{.t = 4 * kSecond, .number = 1, .members = 1, .thread = worker, .call = static_cast<std::uint64_t>(Call::cond_wait), .object = kCondition, .since = kSecond});
  over.add(trace::StuckWait{.t = 5 * kSecond, .number = 1});
  EXPECT_TRUE(deadlock(*model_of(over.finish(10))).findings.empty());
}

TEST(Deadlock, ARingExplainsWhyAllOthersSleep) {
  Program program;
  const auto worker = program.worker();
  program.add(trace::StuckWait{.t = 4 * kSecond, .number = 1, .members = 1, .thread = worker, .call = static_cast<std::uint64_t>(Call::mutex_lock), .object = kA, .since = kSecond});
  const auto result = deadlocks(program, {{.object = kB, .owner = worker}, {.thread = worker, .owner = 1, .waits = "deposit"}}, 2);
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].severity, Severity::critical);
}

TEST(Deadlock, NoneIsFine) {
  Program program;
  const auto result = deadlocks(program, {}, 0);
  EXPECT_TRUE(result.findings.empty());
  EXPECT_NE(result.fine, "");
}

}  // namespace
}  // namespace tailback::testing
