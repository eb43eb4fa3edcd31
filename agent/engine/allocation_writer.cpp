// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/allocation_writer.h"

#include "agent/capture/pages.h"
#include "agent/engine/counts.h"

namespace tailback::engine {

using capture::Allocations;
using capture::SiteCounters;
using capture::SiteId;
using capture::SiteSamples;

namespace {

constexpr std::uint64_t kAllNs = 10'000'000'000;
constexpr std::uint64_t kYoungNs = 10'000'000'000, kYoungEveryNs = 200'000'000;
constexpr std::uint32_t kSitesEachSecond = 512;  // from so many on only those that matter are written each second
constexpr std::uint64_t kShare = 1000;           // of the bytes allocated and freed in a second, from which on a site matters

constinit Counts sizes{}, lifetimes{};  // of the record being written: the stack below may be small

std::uint64_t load(const SiteSamples::Sum& sum) { return sum.load(std::memory_order_relaxed); }

}  // namespace

void AllocationWriter::init(Allocations& allocations, StackWriter& stacks, DumpFile& dump) {
  allocations_ = &allocations;
  stacks_ = &stacks;
  dump_ = &dump;
  written_ = static_cast<Written*>(capture::map_own_pages(Allocations::kMostSites * sizeof(Written)));
  samples_written_ = static_cast<std::uint64_t*>(capture::map_own_pages(Allocations::kMostSampledSites * sizeof(std::uint64_t)));
}

void AllocationWriter::begin() {
  totals_ = {};
  bytes_before_ = moved_bytes_ = all_ns_ = changed_ns_ = 0;
  if (written_) capture::sys::madvise(written_, Allocations::kMostSites * sizeof(Written), MADV_DONTNEED);
  if (samples_written_) capture::sys::madvise(samples_written_, Allocations::kMostSampledSites * sizeof(std::uint64_t), MADV_DONTNEED);
}

void AllocationWriter::exact_site(SiteId site, std::uint64_t now_ns, std::uint64_t least_change) {
  const SiteCounters sums = allocations_->sums_of(site);
  totals_.blocks += sums.blocks;
  totals_.bytes += sums.bytes;
  totals_.freed_blocks += sums.freed_blocks;
  totals_.freed_bytes += sums.freed_bytes;
  Written& written = written_[site];
  const Written now{sums.bytes + sums.freed_bytes, sums.blocks + sums.freed_blocks};
  if (now.events == written.events || now.bytes - written.bytes < least_change) return;
  const capture::StackId stack = allocations_->stack_of(site);
  if (stack) stacks_->write(stack);
  const std::int64_t at_peak = sums.bytes_at_peak > 0 ? sums.bytes_at_peak : 0;
  if (dump_->append(trace::AllocationSite{now_ns, stack, sums.blocks, sums.bytes, sums.freed_blocks, sums.freed_bytes, static_cast<std::uint64_t>(at_peak),
                                          sums.temporary, sums.reallocations}))
    written = now;
}

void AllocationWriter::sampled_site(SiteSamples& site, Written& written, std::uint64_t now_ns, std::uint64_t least_change) {
  const std::uint64_t blocks = load(site.milliblocks), bytes = load(site.bytes), freed_blocks = load(site.freed_milliblocks), freed_bytes = load(site.freed_bytes);
  const Written now{bytes + freed_bytes, blocks + freed_blocks};
  if (now.events == written.events || now.bytes - written.bytes < least_change) return;
  if (site.stack) stacks_->write(site.stack);
  const std::int64_t at_peak = allocations_->bytes_at_peak(site);
  if (dump_->append(trace::AllocationSite{now_ns, site.stack, blocks / 1000, bytes, freed_blocks / 1000, freed_bytes,
                                          static_cast<std::uint64_t>(at_peak > 0 ? at_peak : 0), load(site.temporary_milliblocks) / 1000,
                                          load(site.reallocated_milliblocks) / 1000}))
    written = now;
}

void AllocationWriter::samples(SiteSamples& site, std::uint64_t now_ns) {
  sizes.clear();
  lifetimes.clear();
  for (const auto& count : site.sizes) sizes.add(count.load(std::memory_order_relaxed));
  for (const auto& count : site.lifetimes) lifetimes.add(count.load(std::memory_order_relaxed));
  if (site.stack) stacks_->write(site.stack);
  trace::AllocationSamples record;
  record.t = now_ns;
  record.stack = site.stack;
  record.samples = load(site.samples);
  record.milliblocks = load(site.milliblocks);
  record.bytes = load(site.bytes);
  record.variance_kib2 = load(site.variance_kib2);
  record.allocate_ns = load(site.allocate_ns);
  record.freed_milliblocks = load(site.freed_milliblocks);
  record.free_ns = load(site.free_ns);
  record.temporary_milliblocks = load(site.temporary_milliblocks);
  record.crossed_milliblocks = load(site.crossed_milliblocks);
  record.reallocated_milliblocks = load(site.reallocated_milliblocks);
  record.moved_bytes = load(site.moved_bytes);
  record.paged_milliblocks = load(site.paged_milliblocks);
  record.sizes = sizes.view();
  record.lifetimes = lifetimes.view();
  dump_->append(record);
}

void AllocationWriter::heap_state(std::uint64_t now_ns) {
  dump_->append(trace::HeapState{now_ns, allocations_->exact(), totals_.blocks, totals_.bytes, totals_.freed_blocks, totals_.freed_bytes,
                                 allocations_->peak_bytes(), allocations_->peak_bound_bytes(), totals_.samples, allocations_->unknown_frees()});
}

void AllocationWriter::write(std::uint64_t now_ns, std::uint64_t least_change, bool with_samples) {
  if (allocations_->mode() == capture::AllocationMode::off || !written_ || !samples_written_) return;
  totals_ = {};
  if (allocations_->exact())
    for (SiteId site = 1; site < allocations_->sites(); ++site) exact_site(site, now_ns, least_change);
  for (std::uint32_t i = 1; i < allocations_->sampled_sites(); ++i) {
    SiteSamples& site = *allocations_->samples_at(i);
    totals_.samples += load(site.samples);
    if (!allocations_->exact()) {
      totals_.blocks += load(site.milliblocks) / 1000;
      totals_.bytes += load(site.bytes);
      totals_.freed_blocks += load(site.freed_milliblocks) / 1000;
      totals_.freed_bytes += load(site.freed_bytes);
      sampled_site(site, written_[i], now_ns, least_change);
    }
    const std::uint64_t events = load(site.milliblocks) + load(site.freed_milliblocks);
    if (!with_samples || events == samples_written_[i]) continue;
    samples_written_[i] = events;
    samples(site, now_ns);
  }
  heap_state(now_ns);
  changed_ns_ = now_ns;
  moved_bytes_ = totals_.bytes + totals_.freed_bytes - bytes_before_;
  bytes_before_ += moved_bytes_;
}

void AllocationWriter::write_leaks(std::uint64_t now_ns, const trace::LeakScan& scan, const LeakFinder& finder) {
  dump_->append(scan);
  finder.for_each_site([&](SiteId site, const LostOfSite& lost) {
    const capture::StackId stack = allocations_->stack_of(site);
    if (stack) stacks_->write(stack);
    dump_->append(trace::LeakedSite{now_ns, stack, lost.direct_blocks, lost.direct_bytes, lost.indirect_blocks, lost.indirect_bytes});
  });
}

void AllocationWriter::write_changed(std::uint64_t now_ns) {
  allocations_->look_for_peak();
  if (now_ns - all_ns_ >= kAllNs) return write_all(now_ns);
  const std::uint32_t sites = allocations_->exact() ? allocations_->sites() : allocations_->sampled_sites();
  write(now_ns, sites < kSitesEachSecond ? 0 : moved_bytes_ / kShare, false);
}

void AllocationWriter::write_young(std::uint64_t now_ns) {
  const std::uint32_t sites = allocations_->exact() ? allocations_->sites() : allocations_->sampled_sites();
  if (now_ns < kYoungNs && sites < kSitesEachSecond && now_ns - changed_ns_ >= kYoungEveryNs) write_changed(now_ns);
}

void AllocationWriter::write_all(std::uint64_t now_ns) {
  allocations_->look_for_peak();
  all_ns_ = now_ns;
  write(now_ns, 0, true);
}

}  // namespace tailback::engine
