// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/stretches.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "agent/trace/decode.h"

namespace tailback::engine {
namespace {

using capture::Sample;
using capture::StackId;

constexpr std::uint64_t kMs = 1'000'000;

struct Collected {
  std::vector<trace::BusyStretch> stretches;
  void operator()(const trace::BusyStretch& event) { stretches.push_back(event); }
  void operator()(const auto&) {}
};

class StretchesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "tailback_stretches_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    ASSERT_TRUE(code_.init("/bin/program") && stacks_.init(4096) && unwinder_.init(code_, stacks_));
    ASSERT_EQ(dump_.create((folder_ / "a").c_str(), 1 << 26, 1, 1), 0);
    ASSERT_TRUE(writer_.init(code_, stacks_, unwinder_, dump_, 4096) && stretches_.init(stacks_, writer_, dump_));
    stretches_.begin();
    main_ = stacks_.intern(0, 0x1000);
    loop_ = stacks_.intern(main_, 0x2000);
    idle_ = stacks_.intern(loop_, 0x3000);
    caller_ = stacks_.intern(loop_, 0x2100);  // another place in the loop, where it calls the collector
    for (std::uint64_t i = 0; i < 3; ++i) collecting_[i] = stacks_.intern(caller_, 0x4000 + i);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void sample(std::uint64_t ms, StackId stack, bool waited = false) {
    Sample sample{};
    sample.t = ms * kMs, sample.stack = stack, sample.weight_ns = 5 * kMs;
    sample.flags = waited ? std::uint16_t{capture::kSampleAfterWait} : std::uint16_t{0};
    stretches_.sample(0, 1, sample);
  }
  std::vector<trace::BusyStretch> read() {
    stretches_.end_all();
    dump_.finish();
    std::ifstream in(dump_.path(), std::ios::binary);
    const std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>(in), {}};
    Collected collected;
    trace::Decoder(bytes).for_each_event(collected);
    return collected.stretches;
  }

  std::filesystem::path folder_;
  capture::CodeMap code_;
  capture::StackTable stacks_;
  capture::Unwinder unwinder_;
  DumpFile dump_;
  StackWriter writer_;
  Stretches stretches_;
  StackId main_ = 0, loop_ = 0, idle_ = 0, caller_ = 0, collecting_[3] = {};
};

TEST_F(StretchesTest, ACallInTheMiddleOfComputingIsTold) {
  for (std::uint64_t ms = 5; ms <= 100; ms += 5) sample(ms, idle_);
  for (std::uint64_t ms = 105; ms <= 200; ms += 5) sample(ms, collecting_[ms / 5 % 3]);
  for (std::uint64_t ms = 205; ms <= 300; ms += 5) sample(ms, idle_);
  const auto told = read();
  const auto collection = std::find_if(told.begin(), told.end(), [&](const auto& one) { return one.stack == caller_; });
  ASSERT_NE(collection, told.end());
  EXPECT_EQ(collection->outermost, caller_);
  EXPECT_EQ(collection->samples, 20u);
  EXPECT_EQ(collection->weight_ns, 100 * kMs);
  EXPECT_EQ(collection->end - collection->begin, 100 * kMs);
  EXPECT_EQ(collection->then_waited, 0u);
}

TEST_F(StretchesTest, AWaitEndsAllOfThem) {
  sample(5, idle_);
  for (std::uint64_t ms = 100; ms <= 150; ms += 5) sample(ms, collecting_[0], ms == 100);
  for (std::uint64_t ms = 160; ms <= 210; ms += 5) sample(ms, collecting_[0], ms == 160);
  const auto told = read();
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[0].then_waited, 1u);
  EXPECT_EQ(told[1].then_waited, 0u);
}

TEST_F(StretchesTest, ShortTurnsAreNotToldAndAGapEndsWhatIsNotKnownToGoOn) {
  for (std::uint64_t ms = 0; ms < 10'000; ms += 10) sample(ms, collecting_[0], true);
  EXPECT_TRUE(read().empty());
}

TEST_F(StretchesTest, ManyAreBounded) {
  for (std::uint64_t i = 0; i < 5'000; ++i)
    for (std::uint64_t ms = 0; ms < 30; ms += 5) sample(i * 30 + ms, collecting_[i % 3]);
  EXPECT_LE(read().size(), 400u + 20u * 151u);
}

}  // namespace
}  // namespace tailback::engine
