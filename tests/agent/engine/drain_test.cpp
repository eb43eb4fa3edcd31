// SPDX-License-Identifier: Apache-2.0
// From rings to records: nothing twice, nothing lost, short-lived threads summed up beyond the limit.
#include "agent/engine/drain.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>

#include "agent/capture/record_call.h"
#include "agent/capture/sampling.h"
#include "agent/trace/decode.h"

namespace tailback::engine {
namespace {

using capture::Sample;
using capture::ThreadBlock;
using capture::ThreadState;

struct Counted {
  std::map<std::uint64_t, std::uint64_t> aggregated, single;  // weight by thread
  std::uint64_t threads = 0, ended = 0, group_threads = 0, group_cpu = 0, windows = 0, first_window_ns = 0, nodes = 0;
  void operator()(const trace::CpuAggregate& r) { aggregated[r.thread] += r.weight_ns; }
  void operator()(const trace::CpuSample& r) {
    if (!(r.flags & 1)) single[r.thread] += r.weight_ns;
  }
  void operator()(const trace::Thread&) { ++threads; }
  void operator()(const trace::ThreadState& r) { ended += r.ended; }
  void operator()(const trace::ThreadGroup& r) { group_threads += r.count, group_cpu += r.cpu_ns; }
  void operator()(const trace::DetailWindow& event) { if (windows++ == 0) first_window_ns = event.end - event.begin; }
  void operator()(const trace::StackNode&) { ++nodes; }
  std::map<std::uint64_t, std::uint64_t> calls, call_ns;  // by thread
  std::uint64_t endpoints = 0, still_blocked = 0;
  void operator()(const trace::CallAggregate& r) { calls[r.thread] += r.calls, call_ns[r.thread] += r.ns; }
  void operator()(const trace::Endpoint&) { ++endpoints; }
  void operator()(const trace::StillBlocked&) { ++still_blocked; }
  void operator()(const auto&) {}
};

// The whole capture side but the signals: tables, a dump in a temporary folder, a drain.
class DrainTest : public testing::Test {
 protected:
  static constexpr std::uint32_t kNodes = 4096;

  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "tailback_drain_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    ASSERT_TRUE(code_.init("/bin/program") && stacks_.init(kNodes) && unwinder_.init(code_, stacks_) && threads_.init());
    ASSERT_EQ(dump_.create((folder_ / "a").c_str(), 1 << 26, 1, 1), 0);
    ASSERT_TRUE(writer_.init(code_, stacks_, unwinder_, dump_, kNodes) && aggregate_.init() && detail_.init());
    calls_.init(endpoints_, writer_, detail_, dump_);
    ASSERT_TRUE(stretches_.init(stacks_, writer_, dump_));
    ASSERT_TRUE(drain_.init(threads_, writer_, aggregate_, detail_, dump_, calls_, stretches_));
    drain_.begin(0);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  ThreadBlock* start_thread() {
    ThreadBlock* block = threads_.acquire();
    block->id = threads_.next_id();
    block->state = ThreadState::live;
    return block;
  }
  static void end_thread(ThreadBlock& block, std::uint64_t cpu_ns) {
    block.last = {};
    block.last.cpu_ns = cpu_ns;
    block.state = ThreadState::ended;
  }
  Sample sample_at(std::uint64_t t, capture::StackId stack) {
    Sample sample{};
    sample.t = t;
    sample.stack = stack;
    sample.weight_ns = 5;
    return sample;
  }
  Counted read() {
    dump_.finish();
    std::ifstream in(dump_.path(), std::ios::binary);
    const std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>(in), {}};
    Counted counted;
    const auto result = trace::Decoder(bytes).for_each_event(counted);
    EXPECT_EQ(result.error, "");
    EXPECT_EQ(result.damaged_blocks + result.damaged_records, 0u);
    return counted;
  }

  std::filesystem::path folder_;
  capture::CodeMap code_;
  capture::StackTable stacks_;
  capture::Unwinder unwinder_;
  capture::ThreadTable threads_;
  DumpFile dump_;
  StackWriter writer_;
  CpuAggregate aggregate_;
  Detail detail_;
  capture::Endpoints endpoints_;
  CallWriter calls_;
  Stretches stretches_;
  Drain drain_;
};

TEST_F(DrainTest, AggregatesEverySampleOnce) {
  ThreadBlock* one = start_thread();
  ThreadBlock* two = start_thread();
  const auto root = stacks_.intern(0, 0x1000);
  const auto leaf = stacks_.intern(root, 0x2000);
  for (std::uint64_t i = 0; i < 10'000; ++i) {
    ASSERT_TRUE(one->ring.push(sample_at(i * 1'000'000, leaf)));
    if (i % 2) {
      ASSERT_TRUE(two->ring.push(sample_at(i * 1'000'000, root)));
    }
    if (i % 100 == 99) drain_.all_threads(false);
    if (i % 1000 == 999) drain_.flush(i * 1'000'000);
  }
  drain_.all_threads(false);
  drain_.flush(10'000'000'000);
  detail_.close_windows(dump_, 20'000'000'000);
  const Counted counted = read();
  EXPECT_EQ(counted.aggregated.at(one->id), 50'000u);
  EXPECT_EQ(counted.aggregated.at(two->id), 25'000u);
  EXPECT_TRUE(counted.single.empty());
  EXPECT_EQ(counted.threads, 2u);
  EXPECT_EQ(counted.nodes, 2u);
  EXPECT_GE(counted.windows, 2u);
}

TEST_F(DrainTest, TheFirstSecondsHaveMoreWindows) {
  detail_.close_windows(dump_, 5'000'000'000, true);
  EXPECT_EQ(read().windows, 4u);
}

TEST_F(DrainTest, ThenThereIsOneWindowInFiveSeconds) {
  detail_.close_windows(dump_, 65'000'000'000, true);
  EXPECT_EQ(read().windows, 4u + 12u);
}

TEST_F(DrainTest, AWindowIsWrittenWhenItsEventsAre) {
  std::uint64_t begin = 0, end = 0;
  ASSERT_TRUE(detail_.next_window(0, begin, end));
  detail_.close_windows(dump_, end + 900'000'000);
  EXPECT_EQ(read().windows, 0u);
}

TEST_F(DrainTest, OfAWindowStillOpenAtTheEndThePartThatPassedIsWritten) {
  std::uint64_t begin = 0, end = 0;
  ASSERT_TRUE(detail_.next_window(0, begin, end));
  detail_.close_windows(dump_, begin + 5000, true);
  EXPECT_EQ(read().first_window_ns, 5000u);
}

TEST_F(DrainTest, WindowsLieApartAndInOneStretchEach) {
  std::uint64_t before = 0, begin = 0, end = 0;
  for (int i = 0; i < 50; ++i, before = end) {
    ASSERT_TRUE(detail_.next_window(before, begin, end));
    EXPECT_GE(begin, before + 300'000'000) << "so that threads know in time";
    EXPECT_EQ(end, begin + kWindowNs);
    EXPECT_TRUE(detail_.in_window(begin) && detail_.in_window(end - 1));
    EXPECT_FALSE(detail_.in_window(begin - 1) || detail_.in_window(end));
  }
}

TEST_F(DrainTest, AWindowEndsWhereAnEventWasLost) {
  std::uint64_t begin = 0, end = 0;
  ASSERT_TRUE(detail_.next_window(0, begin, end));
  detail_.cut(begin - 1);
  EXPECT_TRUE(detail_.in_window(begin) && detail_.in_window(end - 1));
  detail_.cut(begin + 1000);
  detail_.cut(begin + 2000);
  EXPECT_TRUE(detail_.in_window(begin + 999));
  EXPECT_FALSE(detail_.in_window(begin + 1000));
  detail_.close_windows(dump_, 5'000'000'000, true);
  EXPECT_EQ(read().first_window_ns, 1000u);
}

TEST_F(DrainTest, WritesSinglyWithoutAggregates) {
  ThreadBlock* one = start_thread();
  const auto root = stacks_.intern(0, 0x1000);
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(one->ring.push(sample_at(static_cast<std::uint64_t>(i), root)));
  drain_.all_threads(true);
  drain_.flush(1'000'000'000);
  const Counted counted = read();
  EXPECT_EQ(counted.single.at(one->id), 1000u);
  EXPECT_TRUE(counted.aggregated.empty());
}

TEST_F(DrainTest, MoreStacksThanTheTableHoldsAreFlushedEarlyNotLost) {
  ThreadBlock* one = start_thread();
  std::uint64_t pushed = 0;
  for (std::uint64_t round = 0; round < 200; ++round) {
    for (std::uint64_t i = 0; i < 200; ++i) {
      const auto stack = static_cast<capture::StackId>(1 + pushed % 40'000);  // ids need not exist to be counted
      ASSERT_TRUE(one->ring.push(sample_at(round, stack)));
      ++pushed;
    }
    drain_.all_threads(false);
  }
  drain_.flush(1'000'000'000);
  EXPECT_EQ(read().aggregated.at(one->id), pushed * 5);
}

TEST_F(DrainTest, AFullRingRefuses) {
  ThreadBlock* one = start_thread();
  std::uint32_t accepted = 0;
  while (one->ring.push(sample_at(1, 1))) ++accepted;
  EXPECT_EQ(accepted, capture::SampleRing::kCapacity);
}

TEST_F(DrainTest, ThreadsBeyondTheListAreSummedAndBlocksReused) {
  constexpr std::uint64_t kThreads = 20'000;
  for (std::uint64_t i = 0; i < kThreads; ++i) {
    ThreadBlock* block = start_thread();
    end_thread(*block, 1000);
    drain_.all_threads(false);
  }
  drain_.write_groups(1);
  EXPECT_EQ(threads_.slots(), 1u);
  const Counted counted = read();
  EXPECT_EQ(counted.threads, counted.ended);
  EXPECT_EQ(counted.threads + counted.group_threads, kThreads);
  EXPECT_GT(counted.group_threads, 0u);
  EXPECT_EQ(counted.group_cpu, counted.group_threads * 1000);
}

TEST_F(DrainTest, SumsOfCallsAreWrittenOnceWhicheverSetTheyAreIn) {
  capture::sampling.unwinder = &unwinder_;
  capture::tick_clock.init(false);
  ASSERT_TRUE(endpoints_.init());
  const auto file = endpoints_.intern(trace::EndpointKind::file, "/a", 2, 0);
  ThreadBlock* thread = start_thread();
  std::uint64_t made = 0;
  for (std::uint64_t tick = 1; tick <= 20; ++tick) {
    for (std::uint64_t i = 0; i < tick; ++i, ++made) record_call(*thread, {trace::Call::read, file, 0, 10, 1});
    drain_.all_calls(false, tick * 250'000'000);
  }
  drain_.all_calls(true, 21 * 250'000'000ull);
  const Counted counted = read();
  EXPECT_EQ(counted.calls.at(thread->id), made);
  EXPECT_EQ(counted.call_ns.at(thread->id), 10 * made);
  EXPECT_EQ(counted.endpoints, 1u);
  EXPECT_EQ(counted.threads, 1u);
}

TEST_F(DrainTest, WhatAThreadIsInsideOfIsTold) {
  capture::tick_clock.init(false);
  ASSERT_TRUE(endpoints_.init());
  capture::sampling.unwinder = &unwinder_;
  ThreadBlock* thread = start_thread();
  record_call(*thread, {trace::Call::poll, 0, 0, 10});
  thread->calls.pending_since = 5;
  thread->calls.pending = trace::Call::poll;
  drain_.all_calls(true, 1000);
  EXPECT_EQ(read().still_blocked, 1u);
}

}  // namespace
}  // namespace tailback::engine
