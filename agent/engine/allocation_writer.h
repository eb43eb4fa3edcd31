// SPDX-License-Identifier: Apache-2.0
// From the sums of allocations to records in the dump. Under the drain lock; signal-safe. Sums are cumulative, so that what is not
// written now is not lost: each second the sites that matter most, now and then and at the end all that changed.
#pragma once
#include "agent/capture/allocations.h"
#include "agent/engine/leak_finder.h"
#include "agent/engine/stack_writer.h"

namespace tailback::engine {

class AllocationWriter {
 public:
  void init(capture::Allocations& allocations, StackWriter& stacks, DumpFile& dump);
  // A new dump: nothing is in it yet.
  void begin();
  void write_changed(std::uint64_t now_ns);
  // In a young process more often: what it did with its memory in a few seconds should be a series too.
  void write_young(std::uint64_t now_ns);
  void write_all(std::uint64_t now_ns);

  // What was lost, as of the end.
  void write_leaks(std::uint64_t now_ns, const trace::LeakScan& scan, const LeakFinder& finder);

  // As of the last writing.
  const capture::Allocations::Totals& totals() const { return totals_; }

 private:
  struct Written {
    std::uint64_t bytes;   // allocated and freed together: goes up with each change
    std::uint64_t events;  // likewise, blocks
  };
  void write(std::uint64_t now_ns, std::uint64_t least_change, bool with_samples);
  void exact_site(capture::SiteId site, std::uint64_t now_ns, std::uint64_t least_change);
  void sampled_site(capture::SiteSamples& site, Written& written, std::uint64_t now_ns, std::uint64_t least_change);
  void samples(capture::SiteSamples& site, std::uint64_t now_ns);
  void heap_state(std::uint64_t now_ns);

  capture::Allocations* allocations_ = nullptr;
  StackWriter* stacks_ = nullptr;
  DumpFile* dump_ = nullptr;
  Written* written_ = nullptr;          // by site, of allocation_site
  std::uint64_t* samples_written_ = nullptr;  // milliblocks allocated and freed, by index of samples
  capture::Allocations::Totals totals_{};
  std::uint64_t bytes_before_ = 0, moved_bytes_ = 0;  // allocated and freed: until the last writing, between the last two
  std::uint64_t all_ns_ = 0;            // when everything was written last
  std::uint64_t changed_ns_ = 0;        // when anything was
};

}  // namespace tailback::engine
