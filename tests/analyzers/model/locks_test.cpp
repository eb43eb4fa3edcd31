// SPDX-License-Identifier: Apache-2.0
// Each lock's waits, holders and what was done while it was held; the records about locks, whatever a dump claims.
#include "analyzers/model/locks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/trace_builder.h"

namespace tailback::analyzers {
namespace {

using ::testing::Pair;
using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::kMillisecond;
using testing::kSecond;
using testing::TraceBuilder;
using trace::Call;

constexpr std::uint64_t kTable = 0x1000, kQueue = 0x2000;
constexpr std::uint64_t kHuge = ~std::uint64_t{0};

Recording read(const TraceBuilder& builder, const ReadOptions& options = {}) { return read_recording_image(builder.image_bytes(), "test.tbk", options); }
Locks locks_in(const TraceBuilder& builder, const ReadOptions& options = {}) { return Locks::build(read(builder, options)); }

std::uint64_t number(Call call) { return static_cast<std::uint64_t>(call); }

TEST(Locks, WaitsAddUpByLockAndThread) {
  TraceBuilder builder;
  const auto worker = builder.thread({.name = "worker"});
  builder.calls({.call = Call::mutex_lock, .object = kTable, .calls = 100, .each = 0.001, .to = 2});
  builder.calls({.thread = worker, .call = Call::mutex_lock, .object = kTable, .calls = 50, .each = 0.004, .to = 2});
  builder.calls({.thread = worker, .call = Call::spin_lock, .object = kQueue, .calls = 10, .each = 0.001, .to = 2});
  const Locks locks = locks_in(builder.finish(2));
  const Lock* table = locks.find(kTable);
  ASSERT_TRUE(table && locks.find(kQueue));
  EXPECT_EQ(table->waits, 150);
  EXPECT_NEAR(table->wait_seconds, 0.3, 1e-6);
  EXPECT_NEAR(table->longest_wait, 0.004, 1e-9);
  EXPECT_THAT(table->wait_by_thread, ElementsAre(Pair(1u, DoubleNear(0.1, 1e-6)), Pair(worker, DoubleNear(0.2, 1e-6))));
  EXPECT_STREQ(kind_of_lock(table->kind), "mutex");
  EXPECT_STREQ(kind_of_lock(locks.find(kQueue)->kind), "spin lock");
}

TEST(Locks, WhatIsNoLockIsLeftOut) {
  TraceBuilder builder;
  builder.calls({.call = Call::cond_wait, .object = kTable, .calls = 10, .each = 0.01});
  builder.calls({.call = Call::sem_wait, .object = kQueue, .calls = 10, .each = 0.01});
  builder.calls({.call = Call::mutex_lock, .object = 0, .calls = 10, .each = 0.01});
  EXPECT_THAT(locks_in(builder.finish(1)).all, IsEmpty());
}

TEST(Locks, BeyondTheBoundOfRowsThereIsNoLockAtAddressZero) {
  TraceBuilder builder;
  for (std::uint64_t i = 1; i <= 100; ++i) builder.calls({.call = Call::mutex_lock, .object = 0x100 * i, .stack = builder.stack({"take"}), .calls = 2, .each = 0.001});
  const Locks locks = locks_in(builder.finish(1), {.max_call_rows = 10});
  EXPECT_EQ(locks.find(0), nullptr);
  EXPECT_LE(locks.all.size(), 10u);
}

TEST(Locks, AThreadThatStillWaitsAtTheEndCounts) {
  TraceBuilder builder;
  const auto stack = builder.stack({"main", "update"});
  const auto blocked = [&](std::uint64_t thread, std::uint64_t t) {
    builder.add(trace::StillBlocked{.t = t, .thread = thread, .call = number(Call::mutex_lock), .object = kTable, .stack = stack, .since = kSecond});
  };
  blocked(builder.thread({.name = "earlier"}), 2 * kSecond);  // got it since, or there would be a later record
  blocked(1, 4 * kSecond);
  const Locks locks = locks_in(builder.finish(4));
  ASSERT_THAT(locks.all, SizeIs(1));
  EXPECT_EQ(locks.all[0].waits, 1);
  EXPECT_NEAR(locks.all[0].wait_seconds, 3, 1e-9);
  EXPECT_NEAR(locks.all[0].longest_wait, 3, 1e-9);
  ASSERT_THAT(locks.all[0].waiters, SizeIs(1));
  EXPECT_NEAR(locks.all[0].waiters[0].seconds, 3, 1e-9);
}

// Of 1000 releases two stacks are known, the first from two threads.
TEST(Locks, HoldersShareTheExactSum) {
  TraceBuilder builder;
  const auto big = builder.stack({"main", "rebuild"}), small = builder.stack({"main", "look_up"});
  builder.add(trace::CallAggregate{.end_ms = 1000, .span_ms = 1000, .thread = 1, .call = number(Call::unlock), .object = kTable, .calls = 1000, .ns = 800 * kMillisecond});
  const auto known = [&](std::uint64_t thread, std::uint64_t stack, std::uint64_t ms) {
    builder.add(trace::CallStack{.end_ms = 1000, .span_ms = 1000, .thread = thread, .call = number(Call::unlock), .object = kTable, .stack = stack, .calls = 64, .ns = ms * kMillisecond});
  };
  known(1, small, 100), known(1, big, 200), known(2, big, 100);
  const Locks locks = locks_in(builder.finish(1));
  ASSERT_THAT(locks.all, SizeIs(1));
  const Lock& lock = locks.all[0];
  EXPECT_EQ(lock.hand_overs, 1000);
  EXPECT_NEAR(lock.held_up_seconds, 0.8, 1e-9);
  EXPECT_EQ(lock.waits, 0);
  ASSERT_THAT(lock.holders, SizeIs(2));
  EXPECT_NEAR(lock.holders[0].seconds, 0.6, 1e-9);
  EXPECT_EQ(lock.holders[0].count, 128);
  EXPECT_NEAR(lock.holders[1].seconds, 0.2, 1e-9);
}

TEST(Locks, AcquisitionsAreThoseThatTheRandomOnesStandFor) {
  TraceBuilder builder;
  const auto often = builder.stack({"main", "read_value"}), rarely = builder.stack({"main", "reload"});
  builder.calls({.call = Call::rwlock_hold, .object = kTable, .stack = rarely, .calls = 256, .each = 0.001});
  builder.calls({.call = Call::rwlock_hold, .object = kTable, .stack = often, .calls = 256'000, .each = 200e-9});
  const Locks locks = locks_in(builder.finish(1));
  ASSERT_THAT(locks.all, SizeIs(1));
  const Lock& lock = locks.all[0];
  EXPECT_EQ(lock.acquisitions, 256'256);
  EXPECT_NEAR(lock.held_seconds, 0.256 + 0.0512, 1e-6);
  EXPECT_NEAR(lock.holds.duration_quantile(0.5), 200, 100);
  ASSERT_THAT(lock.users, SizeIs(2));
  EXPECT_EQ(lock.users[0].count, 256'000) << "by acquisitions, not by time";
  EXPECT_STREQ(kind_of_lock(lock.kind), "read-write lock");
}

TEST(Locks, WhatWasDoneWhileItWasHeld) {
  TraceBuilder builder;
  const auto compute = builder.stack({"main", "compute"}), parse = builder.stack({"main", "parse"}), save = builder.stack({"main", "save"});
  builder.run(1, 0, 2, parse, {.busy = 0.1, .lock = kTable}).run(1, 0, 2, compute, {.busy = 0.2, .lock = kTable}).run(1, 0, 2, compute, {.busy = 0.3});
  const auto file = builder.file("/data/journal");
  builder.calls({.call = Call::fdatasync, .object = file, .stack = save, .calls = 100, .each = 0.002, .to = 2, .lock = kTable});
  builder.calls({.call = Call::mutex_lock, .object = kQueue, .stack = save, .calls = 100, .each = 0.003, .to = 2, .lock = kTable});
  builder.calls({.call = Call::write, .object = file, .stack = save, .calls = 1e5, .each = 1e-6, .to = 2, .lock = kTable});    // did not block
  builder.calls({.call = Call::unlock, .object = kQueue, .stack = save, .calls = 100, .each = 0.01, .to = 2, .lock = kTable});  // no wait of this thread
  const Locks locks = locks_in(builder.finish(2));
  const Lock* lock = locks.find(kTable);
  ASSERT_TRUE(lock);
  EXPECT_NEAR(lock->cpu_inside, 0.6, 1e-6);
  ASSERT_THAT(lock->working, SizeIs(2));
  EXPECT_NEAR(lock->working[0].seconds, 0.4, 1e-6);
  EXPECT_NEAR(lock->blocked_inside, 0.5, 1e-6);
  ASSERT_THAT(lock->calls_inside, SizeIs(2));
  EXPECT_EQ(lock->calls_inside[0].key.call, Call::mutex_lock);
  EXPECT_EQ(lock->calls_inside[1].key.call, Call::fdatasync);
  EXPECT_EQ(lock->calls_inside[1].calls, 100);
}

TEST(Locks, MostWaitedForFirstThenMostUsed) {
  TraceBuilder builder;
  builder.calls({.call = Call::mutex_hold, .object = 0x10, .calls = 5000, .each = 1e-7});
  builder.calls({.call = Call::mutex_hold, .object = 0x20, .calls = 90000, .each = 1e-7});
  builder.calls({.call = Call::mutex_lock, .object = 0x30, .calls = 10, .each = 0.001});
  builder.calls({.call = Call::mutex_lock, .object = 0x40, .calls = 5, .each = 0.01});
  std::vector<std::uint64_t> order;
  for (const Lock& lock : locks_in(builder.finish(1)).all) order.push_back(lock.address);
  EXPECT_THAT(order, ElementsAre(0x40, 0x30, 0x20, 0x10));
}

TEST(LockRecords, TheLaterRecordOfAPairKnowsMore) {
  TraceBuilder builder;
  const auto stack = builder.stack({"main", "transfer"});
  trace::LockOrder order{.held = kTable, .taken = kQueue, .thread = 1, .held_stack = stack, .taken_stack = stack, .held_call = 64, .taken_call = 65, .gate1 = 0x10, .gate3 = 0x30,
                         .first = 5, .last = 5};
  builder.add(order);
  order.gate1 = 0, order.last = kSecond;
  builder.add(order);
  order.thread = 2;
  builder.add(order);
  const Recording recording = read(builder.finish(2));
  ASSERT_THAT(recording.locks.orders, SizeIs(2));
  const LockOrderRow& row = recording.locks.orders[0];
  EXPECT_EQ(row.thread, 1u);
  EXPECT_THAT(row.gates, ElementsAre(0x30));
  EXPECT_EQ(row.last, kSecond);
  EXPECT_EQ(row.held_call, Call::mutex_lock);
  EXPECT_EQ(row.taken_call, Call::rwlock_rdlock);
  EXPECT_NE(row.taken_stack, 0u);
}

TEST(LockRecords, RingsAreToldApartByTheirNumber) {
  TraceBuilder builder;
  for (const std::uint64_t number : {1, 1, 2}) builder.add(trace::Deadlock{.t = kSecond, .number = number, .members = 2, .thread = 1, .call = 64, .object = kTable, .owner = 2});
  const auto rings = read(builder.finish(2)).locks.deadlocks;
  ASSERT_THAT(rings, SizeIs(2));
  EXPECT_THAT(rings[0].members, SizeIs(2));
  EXPECT_THAT(rings[1].members, SizeIs(1));
}

TEST(LockRecords, TimesAndThreadsThatCannotBeAreIgnored) {
  TraceBuilder builder;
  builder.add(trace::LockOrder{.held = 1, .taken = 2, .thread = 1, .first = 1, .last = kHuge});
  builder.add(trace::LockOrder{.held = 1, .taken = 2, .thread = 1, .first = kHuge, .last = 1});
  builder.add(trace::LockOrder{.held = 1, .taken = 2, .thread = kHuge, .first = 1, .last = 1});
  builder.add(trace::Deadlock{.t = kHuge, .number = 1, .thread = 1, .owner = 1});
  builder.add(trace::Deadlock{.t = 1, .number = 2, .thread = kHuge, .owner = 1});
  builder.add(trace::Deadlock{.t = 1, .number = 3, .thread = 1, .owner = kHuge});
  const Recording recording = read(builder.finish(1));
  EXPECT_THAT(recording.locks.orders, IsEmpty());
  EXPECT_THAT(recording.locks.deadlocks, IsEmpty());
  EXPECT_EQ(recording.ignored_records, 6u);
  EXPECT_EQ(recording.duration_ns, kSecond);
}

TEST(LockRecords, NobodyWaitsSinceLaterThanItWasCertain) {
  TraceBuilder builder;
  builder.add(trace::Deadlock{.t = 5, .number = 1, .thread = 1, .since = 900, .owner = 2});
  builder.add(trace::Deadlock{.t = 800, .number = 1, .thread = 2, .since = 700, .owner = 1});
  const auto rings = read(builder.finish(1)).locks.deadlocks;
  ASSERT_THAT(rings, SizeIs(1));
  for (const DeadlockMember& member : rings[0].members) EXPECT_LE(member.since, rings[0].t);
}

TEST(LockRecords, StacksAndCallsThatAreNotThereAreNone) {
  TraceBuilder builder;
  builder.add(trace::LockOrder{.held = 1, .taken = 2, .thread = 1, .held_stack = kHuge, .taken_stack = 77, .held_call = kHuge, .taken_call = 9999});
  const Recording recording = read(builder.finish(1));
  ASSERT_THAT(recording.locks.orders, SizeIs(1));
  EXPECT_LT(recording.locks.orders[0].held_stack, recording.nodes.size());
  EXPECT_LT(recording.locks.orders[0].taken_stack, recording.nodes.size());
  EXPECT_STREQ(trace::name_of(recording.locks.orders[0].held_call), "?");
}

TEST(LockRecords, ThousandsOfMembersRingsAndPairsAreBounded) {
  TraceBuilder builder;
  for (std::uint64_t i = 0; i < 1500; ++i) builder.add(trace::Deadlock{.t = 1, .number = 1, .members = 1500, .thread = i, .owner = i + 1});
  for (std::uint64_t i = 0; i < 500; ++i) builder.add(trace::Deadlock{.t = 1, .number = 2 + i, .members = 1, .thread = 1, .owner = 1});
  for (std::uint64_t i = 0; i < 60'000; ++i) builder.add(trace::LockOrder{.held = i, .taken = i + 1, .thread = 1});
  const LockTables locks = read(builder.finish(1)).locks;
  EXPECT_THAT(locks.deadlocks, SizeIs(100));
  EXPECT_THAT(locks.deadlocks[0].members, SizeIs(1000));
  EXPECT_THAT(locks.orders, SizeIs(50'000));
}

TEST(LockRecords, CpuTimeThatCannotBeStaysFinite) {
  TraceBuilder builder;
  const auto stack = builder.stack({"main"});
  for (int i = 0; i < 16; ++i)
    builder.add(trace::CpuAggregate{.end_ms = 1000, .span_ms = 1000, .thread = 1, .stack = stack, .samples = 1, .weight_ns = kHuge, .lock = kTable});
  builder.add(trace::CpuAggregate{.end_ms = 1000, .span_ms = 1000, .thread = 1, .stack = stack, .samples = 1, .weight_ns = 5});
  const Recording recording = read(builder.finish(1));
  ASSERT_THAT(recording.locks.cpu, SizeIs(1));
  EXPECT_GE(recording.locks.cpu[0].weight_ns, std::uint64_t{1} << 61) << "sums do not wrap around";
}

TEST(LockRecords, OnlyTheWindowCounts) {
  TraceBuilder builder;
  builder.run(1, 0, 10, builder.stack({"main"}), {.busy = 0.5, .lock = kTable});
  builder.calls({.call = Call::mutex_lock, .object = kTable, .calls = 100, .each = 0.01, .to = 10});
  const Locks locks = locks_in(builder.finish(10), {.from_ns = 2 * kSecond, .to_ns = 5 * kSecond});
  ASSERT_THAT(locks.all, SizeIs(1));
  EXPECT_NEAR(locks.all[0].cpu_inside, 1.5, 1e-6);
  EXPECT_EQ(locks.all[0].waits, 30);
}

}  // namespace
}  // namespace tailback::analyzers
