// SPDX-License-Identifier: Apache-2.0
// Heap dumps of jemalloc (MALLOC_CONF=prof:true,...; jemalloc's src/prof_data.c, read by jeprof too):
//   heap_v2/N                                       one sample for each N bytes; counts are of samples
//     t*: LIVE_BLOCKS: LIVE_BYTES [BLOCKS: BYTES]   of all threads, then of each
//   @ 0xRETURN_ADDRESS...                           innermost first
//     t*: ...                                       of that stack
//   MAPPED_LIBRARIES: and the process's map
// The counts of all blocks are 0 without prof_accum:true.
#include "analyzers/foreign/heap_samples.h"
#include "analyzers/foreign/profile_reader.h"
#include "analyzers/input_error.h"

namespace tailback::analyzers::foreign {

namespace {

constexpr std::string_view kHead = "heap_v2/", kMaps = "MAPPED_LIBRARIES:";

// The stacks up to the map; true when the map was reached.
bool read_stacks(LineReader& lines, RecordingBuilder& build, HeapSamples& samples, bool& totals) {
  std::string stack;
  HeapCounts counts;
  const auto take = [&] {
    if (!stack.empty() && !samples.add(TextCursor(stack), counts)) build.ignore();
    stack.clear();
    counts = {};
  };
  while (const auto line = lines.line()) {
    TextCursor fields(*line);
    if (line->starts_with('@')) {
      take();
      stack = line->substr(1);
    } else if (fields.expect("t*:")) {
      if (!read_counts(fields, counts)) build.ignore();
      totals |= counts.blocks > 0;
    } else if (line->starts_with(kMaps)) {
      take();
      return true;
    }
  }
  take();
  return false;
}

}  // namespace

bool is_jemalloc_heap(std::string_view head) { return head.starts_with(kHead); }

void read_jemalloc_heap(InputStream& in, Recording& recording) {
  LineReader lines(in);
  TextCursor head(lines.line().value_or(""));
  std::uint64_t interval = 0;
  if (!head.expect(kHead) || !head.number(interval) || interval == 0) throw InputError("the first line of the jemalloc heap dump is damaged");
  RecordingBuilder build(recording, "jemalloc heap dump", "allocations estimated from samples, as of one moment; no CPU time, waiting or I/O");
  HeapSamples samples;
  bool totals = false;
  const bool maps = read_stacks(lines, build, samples, totals);
  if (maps) samples.read_maps(lines);
  samples.finish(build, static_cast<double>(interval), totals);
  recording.allocations.allocator = "jemalloc";
  if (!totals) recording.reader_notes.push_back("the dump counts live blocks only; MALLOC_CONF=prof_accum:true adds those freed before");
  note_problems(in, lines, recording);
  build.finish(0, maps && in.problem().empty());
}

}  // namespace tailback::analyzers::foreign
