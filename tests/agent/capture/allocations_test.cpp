// SPDX-License-Identifier: Apache-2.0
// Sums of allocations by site: exact ones are, sampled ones lie within what they state, the peak is the peak.
#include "agent/capture/allocations.h"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "agent/capture/sampling.h"

namespace tailback::capture {
namespace {

class AllocationsTest : public testing::Test {
 protected:
  static constexpr std::uint32_t kNodes = 4096;

  void start(AllocationMode mode, std::uint64_t interval = 4096) {
    ASSERT_TRUE(code_.init("/bin/program") && stacks_.init(kNodes) && unwinder_.init(code_, stacks_) && threads_.init());
    sampling.unwinder = &unwinder_;
    tick_clock.init(false);
    ASSERT_TRUE(allocations_.init(mode, interval, kNodes));
    thread_ = new_thread();
    thread_->allocations.random.state = 42;
    allocations_.begin_thread(*thread_);
  }
  void TearDown() override {
    thread_local_state = {};
    free_filter = before_;
  }
  ThreadBlock* new_thread() {
    ThreadBlock* block = threads_.acquire();
    block->id = threads_.next_id();
    return block;
  }
  // As the hooks do it.
  void allocate(std::uint64_t address, std::uint64_t bytes) {
    if (passes_unseen(bytes)) return;
    const bool sampled = allocations_.is_sampled(*thread_, bytes);
    allocations_.add(*thread_, {{1, 0, 0, nullptr}, reinterpret_cast<void*>(address), bytes, sampled ? 10u : 0u, sampled ? 20u : 0u});
  }
  void release(std::uint64_t address) {
    void* block = reinterpret_cast<void*>(address);
    if (!may_be_known(block)) return;
    const Allocations::Freed known = allocations_.take(block);
    if (known.known()) allocations_.freed(thread_, known);
  }
  SiteCounters sums() const { return allocations_.sums_of(1); }

  FreeFilter before_ = free_filter;
  CodeMap code_;
  StackTable stacks_;
  Unwinder unwinder_;
  ThreadTable threads_;
  Allocations allocations_;
  ThreadBlock* thread_ = nullptr;
};

TEST_F(AllocationsTest, ExactSumsAreExact) {
  start(AllocationMode::exact);
  for (std::uint64_t i = 1; i <= 100; ++i) allocate(i * 64, i);
  for (std::uint64_t i = 1; i <= 40; ++i) release(i * 64);
  EXPECT_EQ(allocations_.sites(), 2u);  // the next one
  EXPECT_EQ(sums().blocks, 100u);
  EXPECT_EQ(sums().bytes, 5050u);
  EXPECT_EQ(sums().freed_blocks, 40u);
  EXPECT_EQ(sums().freed_bytes, 820u);
  EXPECT_EQ(sums().temporary, 0u);
}

TEST_F(AllocationsTest, TheEmptyBlockCounts) {
  start(AllocationMode::exact);
  allocate(64, 0);
  release(64);
  EXPECT_EQ(sums().blocks, 1u);
  EXPECT_EQ(sums().freed_blocks, 1u);
}

TEST_F(AllocationsTest, TemporaryIsWhatGoesBeforeTheNextComes) {
  start(AllocationMode::exact);
  allocate(64, 1);
  release(64);  // temporary
  allocate(64, 1);
  allocate(128, 1);
  release(64);   // not
  release(128);  // the last one all the same
  EXPECT_EQ(sums().temporary, 2u);
}

TEST_F(AllocationsTest, FreesOfUnknownBlocksAreCountedAndHarmless) {
  start(AllocationMode::exact);
  release(4096);
  EXPECT_EQ(allocations_.unknown_frees(), 1u);
  EXPECT_EQ(sums().freed_blocks, 0u);
}

// Freed where no hook looks: by a handler that interrupted one, or a plugin that found free by another way.
TEST_F(AllocationsTest, AnAddressThatComesAgainWasFreedUnseen) {
  start(AllocationMode::exact);
  allocate(64, 5);
  allocate(64, 7);
  EXPECT_EQ(sums().blocks, 2u);
  EXPECT_EQ(sums().freed_blocks, 1u);
  EXPECT_EQ(sums().bytes - sums().freed_bytes, 7u);
}

TEST_F(AllocationsTest, APutBackBlockIsLiveAsBefore) {
  start(AllocationMode::exact);
  allocate(64, 5);
  allocations_.put_back(allocations_.take(reinterpret_cast<void*>(64)));
  release(64);
  EXPECT_EQ(sums().freed_bytes, 5u);
}

TEST_F(AllocationsTest, ThePeakOfOneThreadIsExact) {
  start(AllocationMode::exact);
  allocate(64, 100);
  allocate(128, 50);
  release(64);
  allocate(192, 90);
  release(128);
  release(192);
  EXPECT_EQ(allocations_.peak_bytes(), 150u);
  EXPECT_EQ(allocations_.peak_bound_bytes(), 150u);
  EXPECT_EQ(sums().bytes_at_peak, 150);
}

TEST_F(AllocationsTest, FreesByAnotherThreadBalance) {
  start(AllocationMode::exact);
  allocate(64, 100);
  ThreadBlock* other = new_thread();
  std::thread([&] {
    const Allocations::Freed known = allocations_.take(reinterpret_cast<void*>(64));
    allocations_.freed(other, known);
    allocations_.end_thread(*other);
  }).join();
  release(64);  // gone already
  EXPECT_EQ(sums().bytes - sums().freed_bytes, 0u);
  EXPECT_EQ(allocations_.unknown_frees(), 1u);
}

TEST_F(AllocationsTest, ThreadsBeyondTheGroupsShareOne) {
  start(AllocationMode::exact);
  for (std::uint64_t i = 0; i < 40; ++i) {
    ThreadBlock* other = new_thread();
    allocations_.add(*other, {{1, 0, 0, nullptr}, reinterpret_cast<void*>(64 + i * 64), 10, 0, 0});
  }
  EXPECT_EQ(sums().blocks, 40u);
  EXPECT_EQ(sums().bytes, 400u);
}

TEST_F(AllocationsTest, SampledSumsLieWithinWhatTheyState) {
  start(AllocationMode::sampled, 2000);
  constexpr std::uint64_t kBlocks = 20'000, kBytes = 100;
  for (std::uint64_t i = 1; i <= kBlocks; ++i) allocate(i * 128, kBytes);
  ASSERT_EQ(allocations_.sampled_sites(), 2u);
  const SiteSamples& site = *allocations_.samples_at(1);
  const double deviation = 1024 * std::sqrt(static_cast<double>(site.variance_kib2.load()) + static_cast<double>(site.samples));
  EXPECT_NEAR(static_cast<double>(site.bytes), kBlocks * kBytes, 4 * deviation);
  EXPECT_NEAR(static_cast<double>(site.milliblocks) / 1000, kBlocks, 4 * deviation / kBytes);
  EXPECT_NEAR(site.sizes[7], static_cast<double>(site.milliblocks) / 1000, static_cast<double>(site.samples));  // all in one bucket
}

TEST_F(AllocationsTest, SampledFreesTakeBackWhatWasAdded) {
  start(AllocationMode::sampled, 1000);
  for (std::uint64_t i = 1; i <= 5'000; ++i) allocate(i * 128, 100);
  const SiteSamples& site = *allocations_.samples_at(1);
  EXPECT_GT(site.samples, 100u);
  EXPECT_GE(allocations_.peak_bytes(), site.bytes / 2);
  for (std::uint64_t i = 1; i <= 5'000; ++i) release(i * 128);
  EXPECT_EQ(site.freed_milliblocks, site.milliblocks);
  EXPECT_NEAR(static_cast<double>(site.freed_bytes), static_cast<double>(site.bytes), static_cast<double>(site.samples));
  EXPECT_GT(allocations_.bytes_at_peak(site), 0);
  for (std::uint64_t i = 0; i < FreeFilter::kBytes; ++i) ASSERT_EQ(free_filter.bytes[i], 0u);  // frees are quick again
}

}  // namespace
}  // namespace tailback::capture
