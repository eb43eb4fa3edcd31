// SPDX-License-Identifier: Apache-2.0
// Blocks are laid out by hand in a mapping of the test's own: what refers to what is known to the word.
#include "agent/engine/leak_finder.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "agent/capture/clock.h"
#include "agent/capture/pages.h"
#include "agent/capture/sampling.h"

namespace tailback::engine {
namespace {

using capture::Allocations;

constexpr std::uint64_t kSecond = 1'000'000'000;

// A program of one thread whose every allocation comes from another site: the block's size names it.
class LeakFinderTest : public ::testing::Test {
 protected:
  LeakFinderTest() {
    code_.init("/proc/self/exe");
    stacks_.init(1 << 12);
    unwinder_.init(code_, stacks_);
    threads_.init();
    thread_ = threads_.acquire();
    capture::sampling.unwinder = &unwinder_;
    allocations_.init(capture::AllocationMode::exact, 1 << 19, 1 << 12);
    heap_ = static_cast<std::uint64_t*>(mmap(nullptr, kHeapBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    roots_ = static_cast<std::uint64_t*>(mmap(nullptr, capture::kPageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    std::memset(heap_, 0, kHeapBytes);
    roots_[100] = 1;
  }
#if defined(__SANITIZE_THREAD__)
  void SetUp() override { GTEST_SKIP() << "the sanitizer's shadow memory is terabytes to look through"; }
#endif
  ~LeakFinderTest() override {
    finder_.release();
    munmap(heap_, kHeapBytes);
    munmap(roots_, capture::kPageBytes);
  }

  // A block at a word of the heap. Blocks are named by that number, and what computes addresses has frames of its own, so that no
  // address of a block lies about in the test.
  [[gnu::noinline]] void block(std::uint64_t word, std::uint64_t bytes) {
    const auto site = reinterpret_cast<std::uint64_t>(&sites_[bytes]) + 1;
    allocations_.add(*thread_, {{site, reinterpret_cast<std::uint64_t>(roots_ + 256), 0}, heap_ + word, bytes, 0, 0});
    word_of_size_[bytes] = word;
  }
  [[gnu::noinline]] void refer(std::uint64_t from_word, std::uint64_t to_word, std::uint64_t offset = 0) {
    heap_[from_word] = reinterpret_cast<std::uint64_t>(heap_ + to_word) + offset;
  }
  [[gnu::noinline]] void refer_from_root(std::uint64_t to_word, std::uint64_t offset = 0, std::uint64_t tag = 0) {
    roots_[next_root_++] = (reinterpret_cast<std::uint64_t>(heap_ + to_word) + offset) | tag;
  }

  // {bytes: 'd' directly or 'i' indirectly lost}
  [[gnu::noinline]] std::map<std::uint64_t, char> lost(bool alone = true, std::uint64_t most_ns = 60 * kSecond) {
    LeakSearch search{};
    search.deadline_ns = capture::monotonic_ns() + most_ns;
    search.most_blocks = 1000;
    search.most_bytes = 1 << 20;
    search.alone = alone;
    search.library = {reinterpret_cast<std::uint64_t>(&finder_), reinterpret_cast<std::uint64_t>(&finder_ + 1)};  // knows where blocks begin
#if defined(__SANITIZE_ADDRESS__)
    search.dump = {0x7fff'8000, 0x1000'7fff'8000};  // the sanitizer's shadow memory, terabytes of it
#endif
    std::uint64_t here;
    asm volatile("mov %%rsp, %0" : "=r"(here));
    search.unused_stack = {here - (1 << 20), here};
    finder_.release();
    reason_ = finder_.run(allocations_, search);
    std::map<std::uint64_t, char> found;
    if (!reason_) finder_.for_each_site([&](capture::SiteId, const LostOfSite& site) {
      if (site.direct_blocks) found[site.direct_bytes] = 'd';
      if (site.indirect_blocks) found[site.indirect_bytes] = 'i';
    });
    return found;
  }

  using Lost = std::map<std::uint64_t, char>;
  static constexpr std::uint64_t kHeapBytes = 1 << 20;
  static inline char sites_[1 << 18];  // addresses that stand for code
  capture::CodeMap code_;
  capture::StackTable stacks_;
  capture::Unwinder unwinder_;
  capture::ThreadTable threads_;
  capture::ThreadBlock* thread_ = nullptr;
  Allocations allocations_;
  LeakFinder finder_;
  std::uint64_t *heap_ = nullptr, *roots_ = nullptr;
  std::uint64_t next_root_ = 0;
  std::map<std::uint64_t, std::uint64_t> word_of_size_;
  const char* reason_ = nullptr;
};

TEST_F(LeakFinderTest, WhatNothingRefersToIsLost) {
  block(10, 40);
  block(20, 48);
  refer_from_root(20);
  EXPECT_EQ(lost(), (Lost{{40, 'd'}}));
  EXPECT_EQ(finder_.totals().lost_bytes, 40u);
  EXPECT_EQ(finder_.totals().blocks, 2u);
}

TEST_F(LeakFinderTest, TheSameWithOtherThreads) {
  block(10, 40);
  block(20, 48);
  block(30, 56);
  refer_from_root(20);
  refer(20, 30);
  EXPECT_EQ(lost(false), (Lost{{40, 'd'}}));
}

TEST_F(LeakFinderTest, BlocksKeepWhatTheyReferTo) {
  block(10, 40);
  block(20, 48);
  block(30, 56);
  refer_from_root(10);
  refer(14, 20);  // its last word
  refer(20, 30);
  EXPECT_EQ(lost(), Lost{});
}

TEST_F(LeakFinderTest, IndirectlyLostHangsOnLost) {
  block(10, 40);
  block(20, 48);
  block(30, 56);
  refer(10, 20);
  refer(20, 30);
  EXPECT_EQ(lost(), (Lost{{40, 'd'}, {48, 'i'}, {56, 'i'}}));
}

TEST_F(LeakFinderTest, OneOfARingIsTheFirst) {
  block(10, 40);  // hangs on the ring, though it comes first
  block(20, 48);
  block(30, 56);
  refer(20, 30);
  refer(30, 20);
  refer(31, 10);
  EXPECT_EQ(lost(), (Lost{{40, 'i'}, {48, 'd'}, {56, 'i'}}));
}

TEST_F(LeakFinderTest, ABlockThatRefersToItselfIsLost) {
  block(10, 40);
  refer(11, 10);
  EXPECT_EQ(lost(), (Lost{{40, 'd'}}));
}

TEST_F(LeakFinderTest, AnAddressInsideCountsOneBeyondTheEndToo) {
  block(10, 40);
  block(20, 48);
  block(30, 56);
  refer_from_root(10, 17);
  refer_from_root(20, 48);
  refer_from_root(30, 57);
  EXPECT_EQ(lost(), (Lost{{56, 'd'}}));
}

TEST_F(LeakFinderTest, HighBitsMayBeTags) {
  block(10, 40);
  refer_from_root(10, 0, std::uint64_t{0xfff8} << 48);
  EXPECT_EQ(lost(), Lost{});
}

TEST_F(LeakFinderTest, MemoryBetweenBlocksIsARoot) {
  block(10, 40);
  block(20, 48);
  refer(16, 20);
  EXPECT_EQ(lost(), (Lost{{40, 'd'}}));
}

TEST_F(LeakFinderTest, UnalignedWordsDoNotCount) {
  block(10, 40);
  std::memcpy(reinterpret_cast<char*>(roots_) + 804, "", 1);
  const auto hidden = reinterpret_cast<std::uint64_t>(heap_ + 10);
  std::memcpy(reinterpret_cast<char*>(roots_) + 804, &hidden, sizeof hidden);
  EXPECT_EQ(lost(), (Lost{{40, 'd'}}));
}

TEST_F(LeakFinderTest, EmptyBlocksAreBlocks) {
  block(10, 0);
  block(20, 48);
  refer_from_root(20);
  lost();
  EXPECT_EQ(finder_.totals().lost_blocks, 1u);
}

TEST_F(LeakFinderTest, BlocksLargerThanAPieceAreReadWhole) {
  for (const bool alone : {true, false}) {
    block(10, 200'000);
    block(60'000, 48);
    refer_from_root(10);
    refer(10 + 199'992 / 8, 60'000);
    EXPECT_EQ(lost(alone), Lost{});
    heap_[10 + 199'992 / 8] = 0;
    EXPECT_EQ(lost(alone), (Lost{{48, 'd'}}));
  }
}

TEST_F(LeakFinderTest, PagesThatWentAwayAreNoTrouble) {
  for (const bool alone : {true, false}) {
    block(1024, 40'000);
    block(20, 48);
    refer_from_root(1024);
    refer_from_root(20);
    munmap(heap_ + 2048, capture::kPageBytes);
    EXPECT_EQ(lost(alone), Lost{});
  }
}

TEST_F(LeakFinderTest, FreedBlocksAreForgotten) {
  block(10, 40);
  block(20, 48);
  allocations_.take(heap_ + 10);
  refer_from_root(20);
  EXPECT_EQ(lost(), Lost{});
}

TEST_F(LeakFinderTest, BoundsAreKept) {
  for (std::uint64_t i = 0; i < 1001; ++i) block(10 + 4 * i, 16);
  EXPECT_EQ(lost(), Lost{});
  ASSERT_NE(reason_, nullptr);
  EXPECT_STREQ(reason_, "too many blocks are alive");
}

TEST_F(LeakFinderTest, TimeIsKept) {
  block(10, 40);
  EXPECT_EQ(lost(true, 0), Lost{});
  ASSERT_NE(reason_, nullptr);
  EXPECT_STREQ(reason_, "it took too long");
}

TEST(MemoryMap, KnowsOwnPagesAndTheProgramsOwn) {
  auto* own = static_cast<char*>(capture::map_own_pages(capture::kPageBytes));
  static char data[8192];
  own[0] = data[4096] = 1;
  MemoryMap map;
  ASSERT_TRUE(map.read());
  EXPECT_TRUE(map.knows_own());
  const MemoryRegion* region = map.find(reinterpret_cast<std::uint64_t>(own));
  ASSERT_NE(region, nullptr);
  EXPECT_TRUE(region->own);
  region = map.find(reinterpret_cast<std::uint64_t>(&data[4096]));
  ASSERT_NE(region, nullptr);
  EXPECT_FALSE(region->own);
  EXPECT_EQ(map.find(8), nullptr);
  map.release();
  capture::unmap_pages(own, capture::kPageBytes);
}

TEST(GlibcHeap, TellsFreeChunksFromThoseInUse) {
  // Three chunks of 48 bytes, the second free, and the top.
  alignas(16) static std::uint64_t memory[64] = {};
  memory[1] = 48 | 1;
  memory[7] = 48 | 1;
  memory[13] = 48;  // the one before is free
  memory[19] = 512 - 144 + 1;
  MemoryReader reader;
  ASSERT_TRUE(reader.init());
  GlibcHeap heap(reader, 0);
  const auto start = reinterpret_cast<std::uint64_t>(memory);
  std::string seen;
  const HeapStretch stretch{start, start + sizeof memory, start};
  EXPECT_TRUE(heap.for_each_chunk(stretch, [&](const HeapChunk& chunk) { seen += chunk.free ? 'f' : 'u'; }));
  EXPECT_EQ(seen, "ufu");
  memory[19] += 16;  // leads beyond the end
  reader.forget();
  EXPECT_FALSE(heap.for_each_chunk(stretch, [](const HeapChunk&) {}));
  memory[19] = 0;
  reader.forget();
  EXPECT_FALSE(heap.for_each_chunk(stretch, [](const HeapChunk&) {}));
  reader.release();
}

TEST(GlibcHeap, BlocksOfThreadsCachesAreFree) {
  alignas(16) static std::uint64_t memory[16] = {};
  memory[1] = 48 | 1;
  memory[3] = 0xfeedfacecafebeef;
  memory[7] = 80 | 1;
  MemoryReader reader;
  ASSERT_TRUE(reader.init());
  const auto start = reinterpret_cast<std::uint64_t>(memory);
  for (const std::uint64_t mark : {std::uint64_t{0xfeedfacecafebeef}, std::uint64_t{0}}) {
    GlibcHeap heap(reader, mark);
    int free = 0;
    EXPECT_TRUE(heap.for_each_chunk({start, start + sizeof memory, start}, [&](const HeapChunk& chunk) { free += chunk.free; }));
    EXPECT_EQ(free, mark ? 1 : 0);
  }
  reader.release();
}

}  // namespace
}  // namespace tailback::engine
