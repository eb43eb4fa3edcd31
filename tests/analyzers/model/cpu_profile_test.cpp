// SPDX-License-Identifier: Apache-2.0
// CPU time by function, stack and kind of thread; the sums hang on the CPU clocks.
#include "analyzers/model/cpu_profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>

#include "analyzers/model/thread_kinds.h"
#include "tests/support/trace_builder.h"

namespace tailback::analyzers {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;
using testing::kSecond;
using testing::TraceBuilder;

struct Profiled {
  Recording recording;
  std::unique_ptr<Symbols> symbols;
  CpuProfile cpu;

  explicit Profiled(const std::vector<std::uint8_t>& image) : recording(read_recording_image(image, "test.tbk")) {
    symbols = std::make_unique<Symbols>(recording, SymbolOptions{});
    cpu = CpuProfile::build(recording, *symbols);
  }
  const FunctionTime* function(const std::string& name) const {
    for (const auto& time : cpu.functions)
      if (symbols->function_name(time.function) == name) return &time;
    return nullptr;
  }
  double self(const std::string& name) const { return function(name) ? static_cast<double>(function(name)->self_ns) * 1e-9 : -1; }
  double total(const std::string& name) const { return function(name) ? static_cast<double>(function(name)->total_ns) * 1e-9 : -1; }
  std::vector<std::string> labels() const {
    std::vector<std::string> all;
    for (const auto& group : cpu.groups) all.push_back(group.label);
    return all;
  }
};

TEST(CpuProfile, SelfAndTotal) {
  TraceBuilder builder;
  builder.run(1, 0, 3, builder.stack({"main", "parse", "lex"})).run(1, 3, 4, builder.stack({"main", "parse"})).run(1, 4, 6, builder.stack({"main", "print"})).finish(6);
  const Profiled profiled(builder.image_bytes());
  EXPECT_NEAR(profiled.self("lex"), 3, 1e-6);
  EXPECT_NEAR(profiled.self("parse"), 1, 1e-6);
  EXPECT_NEAR(profiled.total("parse"), 4, 1e-6);
  EXPECT_NEAR(profiled.total("main"), 6, 1e-6);
  EXPECT_NEAR(profiled.self("main"), 0, 1e-6);
  EXPECT_EQ(profiled.cpu.functions.front().function, profiled.function("lex")->function) << "descending self time";
  EXPECT_EQ(profiled.cpu.function(profiled.function("lex")->function), profiled.function("lex"));
  EXPECT_EQ(profiled.cpu.cpu_ns, 6 * kSecond);
  EXPECT_EQ(profiled.cpu.sampled_ns, 6 * kSecond);
}

TEST(CpuProfile, RecursionCountsOnce) {
  TraceBuilder builder;
  builder.run(1, 0, 2, builder.stack({"main", "walk", "visit", "walk", "visit", "walk"})).run(1, 2, 3, builder.stack({"main", "walk"})).finish(3);
  const Profiled profiled(builder.image_bytes());
  EXPECT_NEAR(profiled.total("walk"), 3, 1e-6);
  EXPECT_NEAR(profiled.total("visit"), 2, 1e-6);
  EXPECT_NEAR(profiled.self("walk"), 3, 1e-6);
}

TEST(CpuProfile, InlinedFunctionsCountAsThemselves) {
  TraceBuilder builder;
  builder.define("hash", {.file = "hash.h", .line = 12, .inlined_into = "lookup"});
  builder.define("lookup", {.file = "table.cc", .line = 80});
  builder.run(1, 0, 2, builder.stack({"main", "hash"})).finish(2);
  const Profiled profiled(builder.image_bytes());
  EXPECT_NEAR(profiled.self("hash"), 2, 1e-6);
  EXPECT_NEAR(profiled.self("lookup"), 0, 1e-6);
  EXPECT_NEAR(profiled.total("lookup"), 2, 1e-6);
  ASSERT_THAT(profiled.cpu.lines, SizeIs(1));
  EXPECT_EQ(profiled.cpu.lines[0].line, 12u);
  EXPECT_THAT(profiled.symbols->file_name(profiled.cpu.lines[0].file), ::testing::HasSubstr("hash.h"));
}

TEST(CpuProfile, SamplesBeyondTheClockAreScaledDown) {
  TraceBuilder builder;
  const auto a = builder.stack({"main", "a"}), b = builder.stack({"main", "b"});
  builder.add(trace::CpuAggregate{.end_ms = 1000, .span_ms = 1000, .thread = 1, .stack = a, .samples = 10, .weight_ns = 600});
  builder.add(trace::CpuAggregate{.end_ms = 1000, .span_ms = 1000, .thread = 1, .stack = b, .samples = 10, .weight_ns = 300});
  builder.add(trace::ThreadState{.thread = 1, .t = kSecond, .cpu_ns = 600});
  builder.add(trace::SessionEnd{.t = kSecond});
  const Profiled profiled(builder.image_bytes());
  EXPECT_EQ(profiled.cpu.cpu_ns, 600u);
  EXPECT_EQ(profiled.cpu.sampled_ns, 600u);
  EXPECT_EQ(profiled.cpu.stacks[0].ns, 400u);
  EXPECT_EQ(profiled.cpu.stacks[1].ns, 200u);
}

TEST(CpuProfile, TimeWithoutASampleIsNeverSpread) {
  TraceBuilder builder;
  const auto a = builder.stack({"main", "a"});
  const auto worker = builder.thread({.name = "worker", .start_routine = "work"});
  builder.run(1, 0, 1, a).run(worker, 0, 3, a, {.sampled = false}).finish(3);
  const Profiled profiled(builder.image_bytes());
  EXPECT_EQ(profiled.cpu.cpu_ns, 4 * kSecond);
  EXPECT_EQ(profiled.cpu.sampled_ns, kSecond);
  EXPECT_NEAR(profiled.self("a"), 1, 1e-6);
  EXPECT_EQ(profiled.cpu.groups[0].cpu_ns, 3 * kSecond);
  EXPECT_EQ(profiled.cpu.groups[0].sampled_ns, 0u);
  const auto time = profiled.cpu.thread_time(static_cast<ThreadId>(worker));
  EXPECT_EQ(time.cpu_ns, 3 * kSecond);
  EXPECT_EQ(time.sampled_ns, 0u);
}

TEST(CpuProfile, ThreadsOfOneRoutineMakeAGroup) {
  TraceBuilder builder;
  std::vector<std::uint64_t> workers;
  for (int i = 0; i < 4; ++i) workers.push_back(builder.thread({.start_routine = "encode_worker", .creation_stack = {"main", "start_encoder"}}));
  const auto writer = builder.thread({.start_routine = "writer", .creation_stack = {"main", "start_writer"}});
  for (const auto worker : workers) builder.run(worker, 0, 2, builder.stack({"start_thread", "encode_worker", "encode"}));
  builder.run(writer, 0, 1, builder.stack({"start_thread", "writer", "flush"})).run(1, 0, 0.5, builder.stack({"main"})).finish(2);
  const Profiled profiled(builder.image_bytes());
  EXPECT_THAT(profiled.labels(), ElementsAre("encode_worker", "writer", "main thread"));
  const ThreadGroup& group = profiled.cpu.groups[0];
  EXPECT_EQ(group.thread_count, 4u);
  EXPECT_EQ(group.cpu_ns, 8 * kSecond);
  EXPECT_EQ(group.lifetime_ns, 8 * kSecond);
  EXPECT_EQ(profiled.cpu.group_of(static_cast<ThreadId>(workers[2])), &group);
  EXPECT_TRUE(profiled.cpu.groups[2].is_main);
  const auto functions = profiled.cpu.functions_of(group.stacks);
  EXPECT_EQ(profiled.symbols->function_name(functions.front().function), "encode");
  EXPECT_EQ(functions.front().self_ns, 8 * kSecond);
}

// std::thread gives all threads one start routine; what they run tells them apart, where they were made does not.
TEST(CpuProfile, ThreadsOfOneWrapperAreToldApartByWhatTheyRun) {
  TraceBuilder builder;
  builder.define("execute_native_thread_routine", {.module = "libstdc++.so.6"});
  const auto start = [&](const std::string& place) {
    return builder.thread({.start_routine = "execute_native_thread_routine", .creation_stack = {"main", place}});
  };
  const auto run = [&](std::uint64_t thread, const std::string& what) {
    builder.run(thread, 0, 1, builder.stack({"start_thread", "execute_native_thread_routine", "std::thread::_Invoker<...>", what, "work"}));
  };
  const auto a = start("spawn"), b = start("spawn"), c = start("spawn_more");
  run(a, "producer"), run(b, "producer"), run(c, "consumer");
  builder.finish(1);
  const Profiled profiled(builder.image_bytes());
  EXPECT_EQ(profiled.cpu.group_of(static_cast<ThreadId>(a)), profiled.cpu.group_of(static_cast<ThreadId>(b)));
  EXPECT_EQ(profiled.cpu.group_of(static_cast<ThreadId>(a))->label, "producer");
  EXPECT_EQ(profiled.cpu.group_of(static_cast<ThreadId>(c))->label, "consumer");
}

TEST(CpuProfile, NamesMakeGroupsWhereRoutinesAreUnknown) {
  TraceBuilder builder;
  const auto stack = builder.stack({"loop"});
  for (const char* name : {"io-1", "io-2", "gc", "io-13"}) {
    const auto thread = builder.thread({.name = name, .flags = 2});
    builder.run(thread, 0, name[0] == 'i' ? 1 : 2.5, stack);
  }
  builder.finish(3);
  const Profiled profiled(builder.image_bytes());
  EXPECT_THAT(profiled.labels(), ElementsAre("io-#", "gc", "main thread"));
  EXPECT_EQ(profiled.cpu.groups[0].thread_count, 3u);
}

TEST(CpuProfile, ShortLivedThreadsJoinTheirKind) {
  TraceBuilder builder;
  const auto listed = builder.thread({.start_routine = "serve_one", .creation_stack = {"main", "accept_loop"}});
  builder.run(listed, 0, 0.5, builder.stack({"start_thread", "serve_one"}));
  const auto place = builder.stack({"main", "accept_loop"});
  builder.add(trace::ThreadGroup{.t = kSecond, .creation_stack = place, .start_routine = builder.address_of("serve_one") - 16,
                                 .count = 5000, .lifetime_ns = 6 * kSecond, .cpu_ns = 2 * kSecond});
  builder.add(trace::CpuAggregate{.end_ms = 1000, .span_ms = 1000, .thread = 0, .stack = builder.stack({"start_thread", "serve_one"}), .samples = 100,
                                  .weight_ns = kSecond});
  builder.finish(1);
  const Profiled profiled(builder.image_bytes());
  const ThreadGroup& group = profiled.cpu.groups[0];
  EXPECT_EQ(group.label, "serve_one");
  EXPECT_EQ(group.thread_count, 5001u);
  EXPECT_EQ(group.cpu_ns, 5 * kSecond / 2);
  EXPECT_EQ(group.sampled_ns, 3 * kSecond / 2);
}

TEST(CpuProfile, SamplesOfUnknownThreadsAreNotLost) {
  TraceBuilder builder;
  builder.add(trace::CpuAggregate{.end_ms = 1000, .span_ms = 1000, .thread = 0, .stack = builder.stack({"main"}), .samples = 1, .weight_ns = kSecond});
  const Profiled profiled(builder.image_bytes());
  EXPECT_EQ(profiled.cpu.cpu_ns, kSecond);
  EXPECT_EQ(profiled.labels().front(), "threads without a record");
}

TEST(CpuProfile, AfterTheLastCounterOfABrokenRecordingSamplesCount) {
  TraceBuilder builder;
  builder.run(1, 0, 3, builder.stack({"main"}));
  builder.add(trace::ThreadState{.thread = 1, .t = 2 * kSecond, .cpu_ns = 2 * kSecond});
  const Profiled profiled(builder.image_bytes(false));
  EXPECT_EQ(profiled.cpu.cpu_ns, 3 * kSecond);
  EXPECT_EQ(profiled.cpu.sampled_ns, 3 * kSecond);
}

TEST(CpuProfile, HeaviestStacksOfAFunction) {
  TraceBuilder builder;
  const auto direct = builder.stack({"main", "find"}), below = builder.stack({"main", "find", "compare"}), other = builder.stack({"main", "load"});
  builder.run(1, 0, 1, direct).run(1, 1, 4, below).run(1, 4, 9, other).finish(9);
  const Profiled profiled(builder.image_bytes());
  const auto id = profiled.function("find")->function;
  const auto numbers = [](const std::vector<StackWeight>& stacks) {
    std::vector<std::uint64_t> ids;
    for (const auto& stack : stacks) ids.push_back(stack.stack);
    return ids;
  };
  EXPECT_THAT(numbers(profiled.cpu.stacks_of(id, true, 9)), ElementsAre(direct));
  EXPECT_THAT(numbers(profiled.cpu.stacks_of(id, false, 9)), ElementsAre(below, direct));
  EXPECT_THAT(numbers(profiled.cpu.stacks_of(id, false, 1)), ElementsAre(below));
}

// 100,000 stacks of depth 50 over 2,000 functions: each node is looked at once, not each frame of each stack.
TEST(CpuProfile, ManyDeepStacks) {
  TraceBuilder builder;
  std::vector<std::uint64_t> addresses;
  for (int i = 0; i < 2000; ++i) addresses.push_back(builder.address_of("f" + std::to_string(i)));
  std::vector<std::uint64_t> spine = {0};
  for (std::size_t depth = 0; depth < 48; ++depth) spine.push_back(builder.node(spine.back(), addresses[depth]));
  for (std::uint64_t i = 0; i < 100'000; ++i) {
    const auto leaf = builder.node(spine[24 + i % 24], addresses[(i * 7919) % 2000] + 1 + i / 2000);
    builder.add(trace::CpuSample{.t = i, .thread = 1, .stack = leaf, .weight_ns = 1000});
  }
  const auto image = builder.image_bytes();
  const auto before = std::chrono::steady_clock::now();
  const Profiled profiled(image);
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
  EXPECT_EQ(profiled.cpu.sampled_ns, 100'000'000u);
  EXPECT_NEAR(profiled.total("f0"), 0.1, 1e-6);
  EXPECT_LT(took, 10) << "seconds; far above what it takes, far below what stack by stack would";
}

TEST(ThreadKinds, NamesWithoutTheirNumbers) {
  EXPECT_EQ(without_digits("worker-12"), "worker-#");
  EXPECT_EQ(without_digits("io12-3"), "io#-#");
  EXPECT_EQ(without_digits("main"), "main");
}

TEST(ThreadKinds, CallablesBehindVtables) {
  EXPECT_EQ(callable_of_vtable("vtable for std::thread::_State_impl<std::thread::_Invoker<std::tuple<Loader> > >"), "Loader");
  EXPECT_EQ(callable_of_vtable("vtable for std::thread::_State_impl<std::thread::_Invoker<std::tuple<Pool::Job, int> > >"), "Pool::Job");
  EXPECT_EQ(callable_of_vtable("vtable for std::thread::_State_impl<std::thread::_Invoker<std::tuple<void (*)(int), int> > >"), "");
  EXPECT_EQ(callable_of_vtable("vtable for Widget"), "");
  EXPECT_EQ(callable_of_vtable("vtable for X<std::tuple<unfinished"), "");
  EXPECT_EQ(callable_of_vtable(""), "");
}

}  // namespace
}  // namespace tailback::analyzers
