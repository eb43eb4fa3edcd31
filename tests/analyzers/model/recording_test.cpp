// SPDX-License-Identifier: Apache-2.0
// A dump as tables: each sampled nanosecond once, windows of time and threads, modules at one address told apart, and
// input that lies about its numbers.
#include "analyzers/model/recording.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "analyzers/input_error.h"
#include "tests/support/trace_builder.h"

namespace tailback::analyzers {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::kMillisecond;
using testing::kSecond;
using testing::TraceBuilder;

Recording read(const std::vector<std::uint8_t>& image, const ReadOptions& options = {}) {
  return read_recording_image(image, "test.tbk", options);
}
Recording read(const TraceBuilder& builder, const ReadOptions& options = {}) { return read(builder.image_bytes(), options); }

std::uint64_t sum(const std::vector<CpuRow>& rows) {
  std::uint64_t ns = 0;
  for (const auto& row : rows) ns += row.weight_ns;
  return ns;
}

std::string message_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const InputError& error) {
    return error.what();
  }
  return "nothing thrown";
}

TEST(Recording, WhatWasWrittenIsThere) {
  TraceBuilder builder(4, "/opt/tools/server");
  const auto stack = builder.stack({"main", "serve"});
  const auto worker = builder.thread({.name = "worker-1", .start = 0.5, .start_routine = "work", .creation_stack = {"main", "spawn"}});
  builder.run(1, 0, 2, stack, {.busy = 0.5}).run(worker, 1, 2, stack).end_thread(worker, 2).finish(3);
  const Recording recording = read(builder);
  EXPECT_EQ(recording.session.program, "/opt/tools/server");
  EXPECT_EQ(recording.machine.cpus_allowed, 4u);
  EXPECT_TRUE(recording.complete);
  EXPECT_EQ(recording.duration_ns, 3 * kSecond);
  ASSERT_THAT(recording.threads.rows, SizeIs(2));
  const auto* thread = recording.threads.find(static_cast<ThreadId>(worker));
  ASSERT_NE(thread, nullptr);
  EXPECT_EQ(thread->name, "worker-1");
  EXPECT_EQ(thread->start_ns, kSecond / 2);
  EXPECT_EQ(thread->end_ns, 2 * kSecond);
  EXPECT_EQ(thread->states.back().cpu_ns, kSecond);
  EXPECT_FALSE(recording.threads.find(1)->end_ns.has_value());
  EXPECT_EQ(recording.threads.find(77), nullptr);
  EXPECT_EQ(recording.nodes[thread->creation_stack].address, builder.address_of("spawn"));
  EXPECT_EQ(recording.nodes[recording.nodes[thread->creation_stack].parent].address, builder.address_of("main"));
  EXPECT_EQ(recording.nodes[stack].module, builder.module("program"));
  EXPECT_EQ(sum(recording.cpu), 2 * kSecond);
  EXPECT_EQ(recording.whole_cpu_ns, 2 * kSecond);
  EXPECT_THAT(recording.reader_notes, IsEmpty());
}

TEST(Recording, EverySampledNanosecondCountsOnce) {
  TraceBuilder builder;
  const auto a = builder.stack({"main", "a"}), b = builder.stack({"main", "b"});
  builder.add(trace::CpuAggregate{.end_ms = 1000, .span_ms = 1000, .thread = 1, .stack = a, .samples = 3, .weight_ns = 300});
  builder.add(trace::CpuSample{.t = 100, .thread = 1, .stack = a, .weight_ns = 100, .flags = 1});  // of these three
  builder.add(trace::CpuSample{.t = 1 * kSecond + 1, .thread = 1, .stack = b, .weight_ns = 10});
  builder.add(trace::CpuSample{.t = 1 * kSecond + 2, .thread = 1, .stack = b, .weight_ns = 20, .flags = 2});
  builder.add(trace::CpuSample{.t = 2 * kSecond, .thread = 1, .stack = b, .weight_ns = 40});
  const Recording recording = read(builder);
  EXPECT_EQ(sum(recording.cpu), 370u);
  EXPECT_EQ(recording.total_samples, 6u);
  ASSERT_THAT(recording.cpu, SizeIs(3));
  EXPECT_EQ(recording.cpu[1].weight_ns, 30u);
  EXPECT_EQ(recording.cpu[1].end_ms, 2000u);
  EXPECT_EQ(recording.cpu[1].samples, 2u);
  EXPECT_EQ(recording.cpu[2].end_ms, 3000u);
  EXPECT_THAT(recording.samples, SizeIs(4));
}

TEST(Recording, BoundedRowsLoseNoTime) {
  TraceBuilder builder;
  std::vector<std::uint64_t> stacks;
  for (int i = 0; i < 10; ++i) stacks.push_back(builder.stack({"main", "f" + std::to_string(i)}));
  std::uint64_t all = 0, count = 0;
  for (std::uint64_t t = 0; t < 1000; ++t)
    for (const auto stack : stacks) {
      builder.add(trace::CpuSample{.t = t * kSecond + stack, .thread = 1, .stack = stack, .weight_ns = t + stack});
      all += t + stack, ++count;
    }
  const Recording recording = read(builder, {.max_samples = 100, .max_cpu_rows = 500});
  EXPECT_EQ(sum(recording.cpu), all);
  EXPECT_LE(recording.cpu.size(), 500u);
  EXPECT_EQ(recording.total_samples, count);
  EXPECT_THAT(recording.samples, SizeIs(100));
  EXPECT_EQ(recording.samples_left_out, count - 100);
  EXPECT_THAT(recording.reader_notes, ::testing::UnorderedElementsAre(HasSubstr("summed up in intervals of"), HasSubstr("the first 100 only")));
}

TEST(Recording, BoundedStatesKeepTheFirstAndTheLast) {
  TraceBuilder builder;
  for (std::uint64_t t = 1; t <= 5000; ++t) builder.add(trace::ThreadState{.thread = 1, .t = t * kSecond, .cpu_ns = t});
  const Recording recording = read(builder, {.max_thread_states = 300});
  const auto& states = recording.threads.rows[0].states;
  EXPECT_LE(states.size(), 302u);
  EXPECT_EQ(states.front().cpu_ns, 1u);
  EXPECT_EQ(states.back().cpu_ns, 5000u);
}

TEST(Recording, AWindowOfTime) {
  TraceBuilder builder;
  const auto stack = builder.stack({"main"});
  const auto early = builder.thread({.name = "early", .start = 0});
  builder.run(early, 0, 1, stack).end_thread(early, 1);
  builder.run(1, 0, 10, stack, {.busy = 0.8, .waiting = 0.1, .system = 0.25}).finish(10);
  const Recording recording = read(builder, {.from_ns = 3 * kSecond, .to_ns = 7 * kSecond + kSecond / 2});
  EXPECT_EQ(recording.from_ns, 3 * kSecond);
  EXPECT_EQ(recording.to_ns, 7 * kSecond + kSecond / 2);
  ASSERT_THAT(recording.threads.rows, SizeIs(1)) << "a thread that ended before is not there";
  const auto& last = recording.threads.rows[0].states.back();
  EXPECT_NEAR(static_cast<double>(last.cpu_ns), 4.5 * 0.8e9, 1e6);
  EXPECT_NEAR(static_cast<double>(last.system_ns), 4.5 * 0.2e9, 1e6);
  EXPECT_NEAR(static_cast<double>(last.run_delay_ns), 4.5 * 0.1e9, 1e6);
  EXPECT_THAT(recording.cpu, SizeIs(4)) << "the second from 7 to 8 has its middle on the border";
  EXPECT_THAT(recording.reader_notes, ElementsAre(HasSubstr("across the ends of the window")));
  EXPECT_EQ(recording.whole_cpu_ns, 9 * kSecond);
}

TEST(Recording, SamplesAreCutExactly) {
  TraceBuilder builder;
  const auto stack = builder.stack({"main"});
  for (std::uint64_t i = 0; i < 1000; ++i) builder.add(trace::CpuSample{.t = i * 5 * kMillisecond, .thread = 1, .stack = stack, .weight_ns = 1});
  builder.finish(5);
  const Recording recording = read(builder, {.from_ns = 1250 * kMillisecond, .to_ns = 1400 * kMillisecond});
  EXPECT_EQ(sum(recording.cpu), 30u);
  EXPECT_THAT(recording.reader_notes, IsEmpty());
}

TEST(Recording, AnEmptyWindowIsAnError) {
  TraceBuilder builder;
  builder.finish(2);
  EXPECT_THAT(message_of([&] { read(builder, {.from_ns = 5 * kSecond}); }), ::testing::AllOf(HasSubstr("window"), HasSubstr("lasts 2.000 s")));
}

TEST(Recording, OneThreadByName) {
  TraceBuilder builder;
  const auto stack = builder.stack({"main"});
  const auto reader = builder.thread({.name = "reader"});
  builder.run(1, 0, 2, stack).run(reader, 0, 2, stack, {.busy = 0.25}).finish(2);
  const Recording recording = read(builder, {.thread = "reader"});
  EXPECT_THAT(recording.threads.rows, SizeIs(1));
  EXPECT_EQ(sum(recording.cpu), kSecond / 2);
  EXPECT_THAT(message_of([&] { read(builder, {.thread = "writer"}); }), ::testing::AllOf(HasSubstr("'writer'"), HasSubstr("'reader'")));
}

TEST(Recording, ModulesAtOneAddressAreToldApart) {
  TraceBuilder builder;
  builder.add(trace::Module{.id = 1, .start = 0x1000, .end = 0x2000, .path = "first.so"});
  const auto old_stack = builder.node(0, 0x1500);
  builder.add(trace::Module{.id = 2, .start = 0x1400, .end = 0x2400, .path = "second.so"});
  builder.add(trace::ModuleUnload{.id = 1, .t = 5});
  const auto late = builder.node(old_stack, 0x1600);  // seen before the unloading, written after it
  const auto generation = builder.node(0, 2, 2);
  const auto new_stack = builder.node(builder.node(generation, 0x1500), 0x1600);
  const auto gone = builder.node(generation, 0x1100);
  const Recording recording = read(builder);
  EXPECT_EQ(recording.nodes[old_stack].module, 1u);
  EXPECT_EQ(recording.nodes[late].module, 1u);
  EXPECT_EQ(recording.nodes[new_stack].module, 2u);
  EXPECT_EQ(recording.nodes[new_stack].generation, 2u);
  EXPECT_EQ(recording.nodes[gone].module, 0u) << "what is unloaded is no explanation for a later address";
  EXPECT_EQ(recording.modules[0].unloaded_ns, 5u);
}

// The engine writes what it drained before it looks for unloaded modules.
TEST(Recording, AnUnloadingMayBeWrittenAfterItsSuccessor) {
  TraceBuilder builder;
  builder.add(trace::Module{.id = 1, .start = 0x1000, .end = 0x2000, .path = "first.so"});
  const auto old_stack = builder.node(0, 0x1500);
  const auto generation = builder.node(0, 2, 2);
  builder.add(trace::Module{.id = 2, .start = 0x1000, .end = 0x2000, .path = "second.so"});
  const auto new_stack = builder.node(generation, 0x1500);
  builder.add(trace::ModuleUnload{.id = 1, .t = 5});
  const auto late = builder.node(old_stack, 0x1600);
  const Recording recording = read(builder);
  EXPECT_EQ(recording.nodes[old_stack].module, 1u);
  EXPECT_EQ(recording.nodes[new_stack].module, 2u);
  EXPECT_EQ(recording.nodes[late].module, 1u);
}

TEST(Recording, MissingRecordsDegrade) {
  TraceBuilder builder;
  builder.add(trace::StackNode{.id = 50, .parent = 49, .address = 0x10});  // 49 is lost
  builder.add(trace::CpuSample{.t = 1, .thread = 9, .stack = 50, .weight_ns = 5});
  builder.add(trace::CpuSample{.t = 2, .thread = 9, .stack = 77, .weight_ns = 6});
  builder.add(trace::ThreadState{.thread = 8, .t = 7, .cpu_ns = 100});
  builder.add(trace::ModuleUnload{.id = 3, .t = 1});
  const Recording recording = read(builder);
  ASSERT_THAT(recording.samples, SizeIs(2));
  const NodeRow& node = recording.nodes[recording.samples[0].stack];
  EXPECT_EQ(node.address, 0x10u);
  EXPECT_EQ(recording.nodes[node.parent].kind, 1) << "the stack ends there, and says so";
  EXPECT_EQ(recording.nodes[recording.samples[1].stack].kind, 1);
  ASSERT_NE(recording.threads.find(9), nullptr);
  EXPECT_EQ(recording.threads.find(9)->flags, 2u);
  EXPECT_EQ(recording.threads.find(8)->states.back().cpu_ns, 100u);
  EXPECT_THAT(recording.reader_notes, ElementsAre(HasSubstr("not in the dump")));
}

TEST(Recording, NumbersThatCannotBeAreNotBelieved) {
  TraceBuilder builder;
  const std::uint64_t huge = ~std::uint64_t{0};
  builder.add(trace::StackNode{.id = huge, .parent = huge - 1, .address = 1, .kind = huge});
  builder.add(trace::StackNode{.id = huge / 2, .parent = huge / 2, .address = 1});
  builder.add(trace::StackNode{.id = 0, .parent = 0, .address = 1});
  builder.add(trace::Thread{.id = huge, .t = huge, .creation_stack = huge});
  builder.add(trace::Thread{.id = 0xfffffffe, .t = huge});
  builder.add(trace::CpuSample{.t = huge, .thread = huge, .stack = huge, .weight_ns = huge});
  builder.add(trace::CpuSample{.t = 5, .thread = 0xfffffffd, .stack = huge, .weight_ns = huge, .cpu = huge, .flags = huge & ~1ull});
  builder.add(trace::CpuAggregate{.end_ms = 5, .span_ms = 6, .thread = 1, .weight_ns = 1});
  builder.add(trace::CpuAggregate{.end_ms = huge, .span_ms = 1, .thread = 1, .weight_ns = 1});
  builder.add(trace::DetailWindow{.begin = 5, .end = 4});
  builder.add(trace::Module{.id = huge, .start = 0, .end = huge});
  builder.add(trace::Module{.id = 1, .start = 5, .end = 5});
  builder.add(trace::FrameInfo{.module = huge, .address = huge, .depth = huge, .line = huge});
  builder.add(trace::ProcessState{.t = huge, .threads = huge});
  const Recording recording = read(builder);
  EXPECT_LT(recording.nodes.size(), 6u);
  EXPECT_LT(recording.threads.rows.size(), 6u);
  EXPECT_LT(recording.duration_ns, 10 * kSecond);
  EXPECT_GE(recording.ignored_records, 8u);
}

TEST(Recording, SparseNumbersOfNodesCostNoMemory) {
  TraceBuilder builder;
  std::vector<std::uint64_t> ids;
  for (std::uint64_t i = 0; i < 3000; ++i) ids.push_back(i % 2 ? i : i * 100'003);  // dense and far ones mixed
  for (std::uint64_t i = 1; i < ids.size(); ++i) builder.add(trace::StackNode{.id = ids[i], .parent = i > 1 ? ids[i - 1] : 0, .address = i});
  for (const std::uint64_t i : {1ull, 2ull, 1500ull, 2999ull})
    builder.add(trace::CpuSample{.t = i, .thread = 1, .stack = ids[i], .weight_ns = 1});
  const Recording recording = read(builder);
  EXPECT_EQ(recording.nodes.size(), 3000u);
  std::vector<std::uint64_t> addresses;
  for (const auto& sample : recording.samples) addresses.push_back(recording.nodes[sample.stack].address);
  EXPECT_THAT(addresses, ElementsAre(1, 2, 1500, 2999));
}

TEST(Recording, EndlessStacksEnd) {
  TraceBuilder builder;
  for (std::uint64_t id = 1; id <= 20'000; ++id) builder.add(trace::StackNode{.id = id, .parent = id - 1, .address = id});
  builder.add(trace::CpuSample{.t = 1, .thread = 1, .stack = 20'000, .weight_ns = 1});
  const Recording recording = read(builder);
  std::size_t depth = 0;
  for (StackId node = recording.samples[0].stack; node; node = recording.nodes[node].parent) ++depth;
  EXPECT_GE(depth, 2048u);
  EXPECT_LE(depth, 4096u);
}

TEST(Recording, AnUnfinishedDumpSaysSo) {
  TraceBuilder builder;
  builder.run(1, 0, 3, builder.stack({"main"}));
  const Recording recording = read(builder.image_bytes(false));
  EXPECT_FALSE(recording.complete);
  EXPECT_EQ(sum(recording.cpu), 3 * kSecond);
  EXPECT_EQ(recording.duration_ns, 3 * kSecond);
}

TEST(Recording, TheLauncherSawTheEnd) {
  TraceBuilder builder;
  builder.finish(1).add(trace::ExitStatus{.exited = 0, .status = 9});
  const Recording recording = read(builder);
  ASSERT_TRUE(recording.exit_status.has_value());
  EXPECT_EQ(recording.exit_status->status, 9u);
  EXPECT_TRUE(recording.complete);
}

TEST(Recording, ShortLivedThreadsAreSummedByOrigin) {
  TraceBuilder builder;
  const auto spawn = builder.stack({"main", "spawn"});
  for (std::uint64_t t = 1; t <= 3; ++t) {
    builder.add(trace::ThreadGroup{.t = t * kSecond, .creation_stack = spawn, .start_routine = 7, .count = 100, .lifetime_ns = 10, .cpu_ns = 5});
    builder.add(trace::ThreadGroup{.t = t * kSecond, .creation_stack = spawn, .start_routine = 8, .count = 1, .cpu_ns = 1});
  }
  const Recording recording = read(builder);
  ASSERT_THAT(recording.thread_groups, SizeIs(2));
  EXPECT_EQ(recording.thread_groups[0].count, 300u);
  EXPECT_EQ(recording.thread_groups[0].lifetime_ns, 30u);
  EXPECT_EQ(recording.thread_groups[0].first_t, kSecond);
  EXPECT_EQ(recording.thread_groups[0].last_t, 3 * kSecond);
  EXPECT_EQ(recording.whole_cpu_ns, 18u);
}

class RecordingFile : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "tailback-recording-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::filesystem::path folder_;
};

TEST_F(RecordingFile, IsReadLikeItsImage) {
  TraceBuilder builder;
  builder.run(1, 0, 3, builder.stack({"main"})).finish(3).write(path("a.tbk"));
  const Recording recording = read_recording(path("a.tbk"));
  EXPECT_EQ(sum(recording.cpu), 3 * kSecond);
  EXPECT_EQ(recording.file_bytes, std::filesystem::file_size(path("a.tbk")));
}

TEST_F(RecordingFile, WhatIsNoDumpIsRefusedWithFileCauseAndRemedy) {
  testing::write_file(path("empty"), {});
  testing::write_file(path("text"), std::vector<std::uint8_t>(5000, 'x'));
  testing::write_file(path("header"), {testing::DumpImage().image()});
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
  for (const auto& [name, cause] : std::vector<std::pair<std::string, std::string>>{
           {"empty", "too short"}, {"text", "not a tailback dump"}, {"header", "no readable record"}, {"missing", "No such file"}, {"pipe", "not a regular file"}, {".", "not a regular file"}}) {
    const std::string message = message_of([&] { read_recording(path(name)); });
    EXPECT_THAT(message, ::testing::AllOf(HasSubstr(path(name)), HasSubstr(cause), HasSubstr("; "))) << name;
  }
}

}  // namespace
}  // namespace tailback::analyzers
