// SPDX-License-Identifier: Apache-2.0
#include "analyzers/foreign/heap_samples.h"

#include <algorithm>

namespace tailback::analyzers::foreign {

namespace {

constexpr std::size_t kMostAddresses = 1 << 24;
constexpr std::uint64_t kMostCount = std::uint64_t{1} << 53;  // what a double holds exactly

// The allocator's own frames say nothing about who allocated; there are several at the inner end of each stack.
bool is_allocator(const Recording& recording, ModuleId module) {
  if (module == 0) return false;
  const std::string& path = recording.modules[module - 1].path;
  const std::string name = path.substr(path.rfind('/') + 1);
  return name.starts_with("libjemalloc") || name.starts_with("libtcmalloc");
}

HeapSums estimate(const HeapCounts& counts, double interval, bool totals) {
  const auto number = [](std::uint64_t value) { return static_cast<double>(std::min(value, kMostCount)); };
  const HeapSums live = unsampled(number(counts.live_blocks), number(counts.live_bytes), interval);
  HeapSums all = totals ? unsampled(number(counts.blocks), number(counts.bytes), interval) : live;
  all.live_blocks = live.blocks;
  all.live_bytes = live.bytes;
  return all;
}

}  // namespace

bool read_counts(TextCursor& line, HeapCounts& counts) {
  return line.number(counts.live_blocks) && line.expect(":") && line.number(counts.live_bytes) && line.expect("[") && line.number(counts.blocks) &&
         line.expect(":") && line.number(counts.bytes) && line.expect("]");
}

bool HeapSamples::add(TextCursor addresses, const HeapCounts& counts) {
  Sample sample{addresses_.size(), 0, counts};
  for (std::uint64_t address = 0; addresses_.size() < kMostAddresses && addresses.address(address); ++sample.count)
    addresses_.push_back(address ? address - 1 : 0);  // these are return addresses
  addresses.skip_blanks();
  if (sample.count == 0 || !addresses.rest().empty()) {
    addresses_.resize(sample.first);
    return false;
  }
  samples_.push_back(sample);
  return true;
}

void HeapSamples::read_maps(LineReader& lines) {
  while (const auto line = lines.line()) maps_.add(*line);
}

void HeapSamples::finish(RecordingBuilder& build, double interval, bool totals) {
  Recording& out = build.recording();
  maps_.finish(build);
  if (maps_.empty()) out.reader_notes.push_back("the file has no memory map: addresses cannot be resolved");
  out.session.program = out.session.command = *out.strings.emplace_back(std::make_unique<std::string>(maps_.program()));
  std::vector<RecordingBuilder::Place> places;
  for (const Sample& sample : samples_) {
    places.clear();
    for (std::size_t i = 0; i < sample.count; ++i) {
      const std::uint64_t address = addresses_[sample.first + i];
      const ModuleId module = maps_.find(address);
      if (!places.empty() || !is_allocator(out, module)) places.push_back({module, address});
    }
    build.add_allocations(build.stack(places), estimate(sample.counts, interval, totals));
  }
  out.allocations.seen = true;
  out.allocations.exact = interval <= 1;
  out.allocations.facts = {.totals = totals, .frees = true, .peak = false, .temporaries = false, .reallocations = false, .history = false, .costs = false};
}

void note_problems(const InputStream& in, const LineReader& lines, Recording& recording) {
  if (!in.problem().empty()) recording.reader_notes.push_back("the file was read in part: " + in.problem());
  if (lines.line_too_long()) recording.reader_notes.push_back("the file was read in part: a line of it is too long to make sense");
}

}  // namespace tailback::analyzers::foreign
