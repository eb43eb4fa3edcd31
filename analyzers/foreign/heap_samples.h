// SPDX-License-Identifier: Apache-2.0
// What the textual heap profiles of gperftools and jemalloc have in common: counts of live and of all blocks for a stack of return
// addresses, read before the memory map at the file's end says in which modules they lie.
#pragma once
#include <optional>
#include <vector>

#include "analyzers/foreign/line_reader.h"
#include "analyzers/foreign/process_maps.h"
#include "analyzers/foreign/recording_builder.h"
#include "analyzers/foreign/text_cursor.h"

namespace tailback::analyzers::foreign {

struct HeapCounts {
  std::uint64_t live_blocks = 0, live_bytes = 0, blocks = 0, bytes = 0;
};

// "  3:  4096 [  7:  9000]"
bool read_counts(TextCursor& line, HeapCounts& counts);

class HeapSamples {
 public:
  // False: too many, or a line that makes no sense.
  bool add(TextCursor addresses, const HeapCounts& counts);
  // The memory map, up to the end of the input.
  void read_maps(LineReader& lines);
  // All into the recording. `interval`: mean bytes between two samples, 0 when every block was counted. `totals`: freed blocks count too.
  void finish(RecordingBuilder& build, double interval, bool totals);
  bool empty() const { return samples_.empty(); }
  std::size_t size() const { return samples_.size(); }

 private:
  struct Sample {
    std::size_t first = 0, count = 0;  // of addresses_
    HeapCounts counts;
  };
  std::vector<std::uint64_t> addresses_;
  std::vector<Sample> samples_;
  ProcessMaps maps_;
};

// What went wrong while reading, for the report's notes.
void note_problems(const InputStream& in, const LineReader& lines, Recording& recording);

}  // namespace tailback::analyzers::foreign
