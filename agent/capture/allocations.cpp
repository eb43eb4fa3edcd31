// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/allocations.h"

#include <bit>

#include "agent/capture/sampling.h"

namespace tailback::capture {

namespace {

constexpr std::uint64_t kMostLive = std::uint64_t{1} << 28, kMostSampledLive = 1 << 20;
constexpr std::memory_order kRelaxed = std::memory_order_relaxed;

constinit std::atomic<std::uint8_t> none_known{0}, all_known{1};

std::uint64_t milli(double count) { return static_cast<std::uint64_t>(count * 1000 + 0.5); }

std::uint32_t bucket(std::uint64_t value, std::uint32_t most) {
  const auto width = static_cast<std::uint32_t>(std::bit_width(value));
  return width < most ? width : most - 1;
}

// Sums with one writer at a time need no locked instruction.
template <bool shared, class Number>
void add_to(Number& sum, Number change) {
  if constexpr (shared) __atomic_fetch_add(&sum, change, __ATOMIC_RELAXED);
  else __atomic_store_n(&sum, sum + change, __ATOMIC_RELAXED);
}

// What was live at the last peak is kept before the first change after it.
void keep_peak(SiteCounters& sums, std::uint32_t peak) {
  if (sums.peak == peak) return;
  __atomic_store_n(&sums.bytes_at_peak, static_cast<std::int64_t>(sums.bytes - sums.freed_bytes), __ATOMIC_RELAXED);
  __atomic_store_n(&sums.peak, peak, __ATOMIC_RELAXED);
}

void keep_peak(SiteSamples& sums, std::uint32_t peak) {
  if (sums.peak.load(kRelaxed) == peak) return;
  sums.bytes_at_peak.store(static_cast<std::int64_t>(sums.bytes.load(kRelaxed) - sums.freed_bytes.load(kRelaxed)), kRelaxed);
  sums.peak.store(peak, kRelaxed);
}

template <bool shared>
void count_new(SiteCounters& sums, const NewBlock& block, std::uint32_t peak) {
  keep_peak(sums, peak);
  add_to<shared>(sums.blocks, std::uint64_t{1});
  add_to<shared>(sums.bytes, block.bytes);
  if (block.reallocated) add_to<shared>(sums.reallocations, 1u);
}

template <bool shared>
void count_gone(SiteCounters& sums, std::uint64_t bytes, bool temporary, std::uint32_t peak) {
  keep_peak(sums, peak);
  add_to<shared>(sums.freed_blocks, std::uint64_t{1});
  add_to<shared>(sums.freed_bytes, bytes);
  if (temporary) add_to<shared>(sums.temporary, 1u);
}

template <class Number>
Number* map_numbers(std::uint64_t count) { return static_cast<Number*>(map_own_pages(count * sizeof(Number))); }

// The number for a stack in a table that gives them out in order; 0 when they are used up.
std::uint32_t number_of(std::atomic<std::uint32_t>& known, std::atomic<std::uint32_t>& next, std::uint32_t most) {
  if (const std::uint32_t number = known.load(std::memory_order_acquire)) return number;
  if (next.load(kRelaxed) >= most) return 0;
  std::uint32_t number = next.fetch_add(1, kRelaxed), expected = 0;
  if (number >= most) return 0;
  return known.compare_exchange_strong(expected, number, std::memory_order_acq_rel) ? number : expected;  // the loser's stays unused
}

}  // namespace

constinit FreeFilter free_filter{&none_known, 0};

bool Allocations::init(AllocationMode mode, std::uint64_t interval, std::uint32_t most_nodes) {
  if (mode == AllocationMode::off) return true;
  interval_ = interval ? interval : 1;
  samples_ = map_numbers<SiteSamples>(kMostSampledSites);
  samples_of_node_ = map_numbers<std::atomic<std::uint32_t>>(most_nodes + 1);
  groups_ = map_numbers<Group>(kGroups);
  if (!samples_ || !samples_of_node_ || !groups_ || !sampled_.init(kMostSampledLive)) return false;
  if (mode == AllocationMode::exact) {
    site_of_node_ = map_numbers<std::atomic<std::uint32_t>>(most_nodes + 1);
    site_stacks_ = map_numbers<StackId>(kMostSites);
    if (!site_of_node_ || !site_stacks_ || !live_.init(kMostLive)) return false;
    prefer_large_pages(site_of_node_, (most_nodes + 1ull) * sizeof *site_of_node_);
    free_filter = {&all_known, 0};
  } else {
    auto* bytes = map_numbers<std::atomic<std::uint8_t>>(FreeFilter::kBytes);
    if (!bytes) return false;
    free_filter.bytes = bytes;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    free_filter.mask = FreeFilter::kBytes - 1;
  }
  mode_.store(mode, std::memory_order_release);
  return true;
}

// The tables are wiped; what counts their entries is not.
void Allocations::after_fork() {
  live_.after_fork();
  sampled_.after_fork();
  next_site_ = next_samples_ = 1;
  groups_taken_ = 0;
  peak_ = 0;
  peak_bytes_ = peak_bound_ = 0;
  lost_ = unknown_frees_ = 0;
}

void Allocations::draw(ThreadBlock& thread) {
  ThreadAllocations& own = thread.allocations;
  if (own.random.state == 0) own.random.state = (thread.id * 0x9e3779b97f4a7c15u ^ tick_clock.now()) | 1;
  const std::uint64_t interval = draw_interval(own.random, interval_);
  (exact() ? own.until_sample : thread_local_state.allocation_budget) = interval;
}

void Allocations::begin_thread(ThreadBlock& thread) {
  if (mode() == AllocationMode::off) return;
  thread_local_state.allocation_budget = 0;
  draw(thread);
}

void Allocations::end_thread(ThreadBlock& thread) {
  if (thread.allocations.group && thread.allocations.group < kGroups) groups_[thread.allocations.group - 1].taken.store(0, std::memory_order_release);
  thread.allocations.group = 0;
}

bool Allocations::is_sampled(ThreadBlock& thread, std::uint64_t bytes) {
  if (!exact()) return true;
  std::uint64_t& left = thread.allocations.until_sample;
  if (left <= bytes) return true;
  left -= bytes + 1;
  return false;
}

SiteId Allocations::site_of(StackId stack) {
  const SiteId site = number_of(site_of_node_[stack], next_site_, kMostSites);
  if (site && site_stacks_[site] != stack) __atomic_store_n(&site_stacks_[site], stack, __ATOMIC_RELAXED);
  return site;
}

SiteSamples* Allocations::samples_of(StackId stack) {
  const std::uint32_t index = number_of(samples_of_node_[stack], next_samples_, kMostSampledSites);
  if (index == 0) return nullptr;
  samples_[index].stack = stack;
  return &samples_[index];
}

Allocations::Group& Allocations::group_of(ThreadBlock* thread) {
  if (thread && thread->allocations.group) return groups_[thread->allocations.group - 1];
  std::uint32_t number = kGroups - 1;
  if (thread) {
    for (std::uint32_t i = 0; i < kGroups - 1; ++i) {
      if (groups_[i].taken.exchange(1, std::memory_order_acquire)) continue;
      number = i;
      break;
    }
    thread->allocations.group = number + 1;
  }
  Group& group = groups_[number];
  std::uint32_t seen = groups_taken_.load(kRelaxed);
  while (seen < number + 1 && !groups_taken_.compare_exchange_weak(seen, number + 1, kRelaxed)) {
  }
  return group;
}

SiteCounters* Allocations::counters_of(Group& group, SiteId site) {
  SiteCounters* counters = group.counters.load(std::memory_order_acquire);
  if (!counters) {
    SiteCounters* mapped = map_numbers<SiteCounters>(kMostSites);
    if (!mapped) return nullptr;
    prefer_large_pages(mapped, kMostSites * sizeof(SiteCounters));
    if (group.counters.compare_exchange_strong(counters, mapped, std::memory_order_acq_rel)) counters = mapped;
    else unmap_pages(mapped, kMostSites * sizeof(SiteCounters));
  }
  return &counters[site];
}

// While only one thread allocates, and of sampled blocks, every new peak is one; otherwise the engine looks now and then.
void Allocations::note_live(Group& group, std::int64_t change) {
  const bool shared = &group == &groups_[kGroups - 1];
  if (shared) __atomic_fetch_add(reinterpret_cast<std::int64_t*>(&group.live_bytes), change, __ATOMIC_RELAXED);
  else group.live_bytes.store(group.live_bytes.load(kRelaxed) + change, kRelaxed);
  const std::int64_t live = group.live_bytes.load(kRelaxed);
  if (live <= group.most_live_bytes.load(kRelaxed)) return;
  group.most_live_bytes.store(live, kRelaxed);
  if ((exact() && groups_taken_.load(kRelaxed) != 1) || static_cast<std::uint64_t>(live) <= peak_bytes_.load(kRelaxed)) return;
  peak_bytes_.store(static_cast<std::uint64_t>(live), kRelaxed);
  peak_bound_.store(static_cast<std::uint64_t>(live), kRelaxed);
  peak_.store(peak_.load(kRelaxed) + 1, kRelaxed);
}

void Allocations::add_exact(ThreadBlock& thread, const NewBlock& block, StackId stack, bool sampled) {
  const SiteId site = site_of(stack);
  Group& group = group_of(&thread);
  SiteCounters* sums = site ? counters_of(group, site) : nullptr;
  const auto address = reinterpret_cast<std::uint64_t>(block.at);
  LiveBlock unseen;
  if (!sums || !live_.insert(LiveBlock::make(address, block.bytes, site, sampled), unseen)) {
    lost_.fetch_add(1, kRelaxed);
    return;
  }
  if (unseen.word) {
    Freed gone{unseen, {}};
    if (!unseen.sampled() || !sampled_.take(address, gone.sample)) gone.sample.at = 0;
    freed(&thread, gone);
  }
  const std::uint32_t peak = peak_.load(kRelaxed);
  if (&group == &groups_[kGroups - 1]) count_new<true>(*sums, block, peak);
  else count_new<false>(*sums, block, peak);
  thread.allocations.last = address;
  note_live(group, static_cast<std::int64_t>(block.bytes));
}

void Allocations::add_sample(ThreadBlock& thread, const NewBlock& block, StackId stack) {
  draw(thread);
  SiteSamples* sums = samples_of(stack);
  const SampleWeight weight = weight_of(block.bytes, interval_);
  SampledBlock entry{reinterpret_cast<std::uint64_t>(block.at), block.bytes, block.end, milli(weight.blocks), thread_local_state.allocation_budget,
                     sums ? static_cast<std::uint32_t>(sums - samples_) : 0, static_cast<std::uint32_t>(thread.id)};
  SampledBlock unseen;
  if (!sums || !sampled_.insert(entry, unseen)) {
    lost_.fetch_add(1, kRelaxed);
    return;
  }
  if (unseen.at) count_sampled_free(&thread, unseen);
  const auto weighted = [&](std::uint64_t value) { return static_cast<std::uint64_t>(weight.blocks * static_cast<double>(value)); };
  const double kib = static_cast<double>(block.bytes) / 1024;
  keep_peak(*sums, peak_.load(kRelaxed));
  sums->samples.fetch_add(1, kRelaxed);
  sums->milliblocks.fetch_add(entry.milliblocks, kRelaxed);
  sums->bytes.fetch_add(weighted(block.bytes), kRelaxed);
  sums->variance_kib2.fetch_add(static_cast<std::uint64_t>(weight.variance * kib * kib), kRelaxed);
  sums->allocate_ns.fetch_add(weighted(tick_clock.to_ns(block.end - block.begin)), kRelaxed);
  sums->sizes[bucket(block.bytes, SiteSamples::kSizes)].fetch_add(static_cast<std::uint32_t>(weight.blocks + 0.5), kRelaxed);
  if (block.bytes >= kPagesBytes) sums->paged_milliblocks.fetch_add(entry.milliblocks, kRelaxed);
  if (block.reallocated) {
    sums->reallocated_milliblocks.fetch_add(entry.milliblocks, kRelaxed);
    sums->moved_bytes.fetch_add(weighted(block.moved_bytes), kRelaxed);
  }
  if (exact()) return;
  note_live(groups_[kGroups - 1], static_cast<std::int64_t>(weighted(block.bytes)));
  if (unseen.at) return;  // the filter counts this address already
  std::atomic<std::uint8_t>& slot = free_filter.slot(entry.at);
  std::uint8_t count = slot.load(kRelaxed);
  while (count != 255 && !slot.compare_exchange_weak(count, static_cast<std::uint8_t>(count + 1), kRelaxed)) {
  }
}

void Allocations::add(ThreadBlock& thread, const NewBlock& block) {
  const StackId stack = sampling.unwinder->walk(block.caller, false, thread.stack, {}, *thread.hook_cache).stack;
  const bool sampled = block.end != 0;
  if (exact()) add_exact(thread, block, stack, sampled);
  if (sampled) add_sample(thread, block, stack);
}

Allocations::Freed Allocations::take(void* at) {
  Freed known{};
  const auto address = reinterpret_cast<std::uint64_t>(at);
  if (exact()) {
    if (!live_.take(address, known.live)) unknown_frees_.fetch_add(1, kRelaxed);
    if (!known.live.sampled()) return known;
  }
  if (!sampled_.take(address, known.sample)) known.sample.at = 0;
  if (exact() || !known.sample.at) return known;
  std::atomic<std::uint8_t>& slot = free_filter.slot(address);
  std::uint8_t count = slot.load(kRelaxed);
  while (count != 255 && count != 0 && !slot.compare_exchange_weak(count, static_cast<std::uint8_t>(count - 1), kRelaxed)) {
  }
  return known;
}

void Allocations::put_back(const Freed& block) {
  LiveBlock live;  // nobody else can have the address
  SampledBlock sample;
  if (block.live.word) live_.insert(block.live, live);
  if (!block.sample.at) return;
  sampled_.insert(block.sample, sample);
  if (!exact()) free_filter.slot(block.sample.at).store(255, kRelaxed);  // stays: such a thing is rare
}

void Allocations::count_free(ThreadBlock* thread, const LiveBlock& block) {
  Group& group = group_of(thread);
  SiteCounters* sums = counters_of(group, block.site());
  if (!sums) return;
  const std::uint32_t peak = peak_.load(kRelaxed);
  const bool temporary = thread && thread->allocations.last == block.address();
  if (temporary) thread->allocations.last = 0;
  if (&group == &groups_[kGroups - 1]) count_gone<true>(*sums, block.bytes(), temporary, peak);
  else count_gone<false>(*sums, block.bytes(), temporary, peak);
  note_live(group, -static_cast<std::int64_t>(block.bytes()));
}

void Allocations::count_sampled_free(ThreadBlock* thread, const SampledBlock& block) {
  SiteSamples& sums = samples_[block.site];
  const std::uint64_t bytes = block.milliblocks * block.bytes / 1000;
  const bool crossed = !thread || static_cast<std::uint32_t>(thread->id) != block.thread;
  const bool temporary = !crossed && (exact() ? thread->allocations.last == block.at : thread_local_state.allocation_budget == block.budget);
  keep_peak(sums, peak_.load(kRelaxed));
  sums.freed_milliblocks.fetch_add(block.milliblocks, kRelaxed);
  sums.freed_bytes.fetch_add(bytes, kRelaxed);
  if (temporary) sums.temporary_milliblocks.fetch_add(block.milliblocks, kRelaxed);
  if (crossed) sums.crossed_milliblocks.fetch_add(block.milliblocks, kRelaxed);
  const std::uint64_t lived = tick_clock.to_ns(tick_clock.now() - block.ticks);
  const std::uint32_t index = lived ? bucket(lived, SiteSamples::kLifetimes + 1) - 1 : 0;
  sums.lifetimes[index].fetch_add(static_cast<std::uint32_t>((block.milliblocks + 500) / 1000), kRelaxed);
  if (!exact()) note_live(groups_[kGroups - 1], -static_cast<std::int64_t>(bytes));
}

void Allocations::freed(ThreadBlock* thread, const Freed& block) {
  if (block.sample.at) count_sampled_free(thread, block.sample);
  if (block.live.word) count_free(thread, block.live);
}

void Allocations::add_free_time(const SampledBlock& block, std::uint64_t ns) { samples_[block.site].free_ns.fetch_add(block.milliblocks * ns / 1000, kRelaxed); }

SiteCounters Allocations::sums_of(SiteId site) const {
  SiteCounters sum{};
  const std::uint32_t peak = peak_.load(kRelaxed);
  for (std::uint32_t i = 0; i < kGroups; ++i) {
    const SiteCounters* counters = groups_[i].counters.load(std::memory_order_acquire);
    if (!counters) continue;
    const SiteCounters& one = counters[site];
    sum.blocks += one.blocks;
    sum.bytes += one.bytes;
    sum.freed_blocks += one.freed_blocks;
    sum.freed_bytes += one.freed_bytes;
    sum.bytes_at_peak += one.peak == peak ? one.bytes_at_peak : static_cast<std::int64_t>(one.bytes - one.freed_bytes);
    sum.temporary += one.temporary;
    sum.reallocations += one.reallocations;
  }
  return sum;
}

std::int64_t Allocations::bytes_at_peak(const SiteSamples& site) const {
  if (site.peak.load(kRelaxed) == peak_.load(kRelaxed)) return site.bytes_at_peak.load(kRelaxed);
  return static_cast<std::int64_t>(site.bytes.load(kRelaxed) - site.freed_bytes.load(kRelaxed));
}

void Allocations::look_for_peak() {
  if (!exact() || groups_taken_.load(kRelaxed) <= 1) return;  // seen as they happen
  std::int64_t live = 0, bound = 0;
  for (std::uint32_t i = 0; i < kGroups; ++i) {
    const std::int64_t now = groups_[i].live_bytes.load(kRelaxed);
    live += now;
    bound += groups_[i].most_live_bytes.exchange(now, kRelaxed);
  }
  if (bound > static_cast<std::int64_t>(peak_bound_.load(kRelaxed))) peak_bound_.store(static_cast<std::uint64_t>(bound), kRelaxed);
  if (live <= static_cast<std::int64_t>(peak_bytes_.load(kRelaxed))) return;
  peak_bytes_.store(static_cast<std::uint64_t>(live), kRelaxed);
  peak_.fetch_add(1, kRelaxed);
}

std::uint64_t Allocations::peak_bound_bytes() const {
  const std::uint64_t bound = peak_bound_.load(kRelaxed), peak = peak_bytes();
  return bound > peak ? bound : peak;
}

std::uint64_t Allocations::resident_bytes() const {
  if (mode() == AllocationMode::off) return 0;
  std::uint64_t groups = 0;
  for (std::uint32_t i = 0; groups_ && i < kGroups; ++i) groups += groups_[i].counters.load(kRelaxed) != nullptr;
  return live_.resident_bytes() + sampled_.resident_bytes() + std::uint64_t{sites()} * (4 + groups * sizeof(SiteCounters)) + std::uint64_t{sampled_sites()} * sizeof(SiteSamples);
}

}  // namespace tailback::capture
