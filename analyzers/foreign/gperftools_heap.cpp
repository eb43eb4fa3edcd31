// SPDX-License-Identifier: Apache-2.0
// Heap profiles of gperftools as text (what HEAPPROFILE and MallocExtension write; read by pprof's profile/legacy_profile.go too):
//   heap profile:  LIVE_BLOCKS:  LIVE_BYTES [  BLOCKS:  BYTES] @ KIND
//     LIVE_BLOCKS:  LIVE_BYTES [  BLOCKS:  BYTES] @ 0xRETURN_ADDRESS...      innermost first
//   MAPPED_LIBRARIES: and the process's map
// KIND is heapprofile (every block), heap_v2/N (one sample for each N bytes; counts are of samples), heap/2N (the same, older), or growth
// (memory that the allocator took from the system; it never gives back).
#include <string>

#include "analyzers/foreign/heap_samples.h"
#include "analyzers/foreign/profile_reader.h"
#include "analyzers/input_error.h"

namespace tailback::analyzers::foreign {

namespace {

constexpr std::string_view kHead = "heap profile:", kMaps = "MAPPED_LIBRARIES:";

struct Kind {
  bool growth = false;
  double interval = 0;  // of samples, in bytes; 0: every block
};

Kind kind_of(std::string_view text) {
  const std::string_view name = text.substr(0, text.find('/'));
  if (name == "growth" || name == "growthz") return {true, 0};
  if (name == "heapprofile") return {};
  if (name != "heap_v2" && name != "heapz_v2" && name != "heap")
    throw InputError("a gperftools profile of the kind '" + std::string(text.substr(0, 40)) + "', which is not read; write one by HEAPPROFILE");
  constexpr double kDefault = 524288;
  std::uint64_t interval = 0;
  if (name.size() < text.size()) TextCursor(text.substr(name.size() + 1)).number(interval);
  const double bytes = interval ? static_cast<double>(interval) : kDefault;
  return {false, name == "heap" ? bytes / 2 : bytes};
}

std::pair<const char*, const char*> names_of(const Kind& kind) {
  if (kind.growth) return {"gperftools growth profile", "memory that the allocator took from the system, by who asked; no frees"};
  if (kind.interval > 0) return {"gperftools heap profile", "allocations estimated from samples; no CPU time, waiting or I/O"};
  return {"gperftools heap profile", "every allocation, exact, as of one moment; no CPU time, waiting or I/O"};
}

}  // namespace

bool is_heap_text(std::string_view head) { return head.starts_with(kHead); }

void read_heap_text(InputStream& in, Recording& recording) {
  LineReader lines(in);
  TextCursor head(lines.line().value_or(""));
  HeapCounts sum;
  if (!head.expect(kHead) || !read_counts(head, sum) || !head.expect("@")) throw InputError("the first line of the gperftools profile is damaged");
  const Kind kind = kind_of(head.word());
  RecordingBuilder build(recording, names_of(kind).first, names_of(kind).second);
  HeapSamples samples;
  bool maps = false;
  while (const auto line = lines.line()) {
    if (line->starts_with(kMaps)) {
      maps = true;
      samples.read_maps(lines);
      break;
    }
    TextCursor fields(*line);
    HeapCounts counts;
    fields.skip_blanks();
    if (fields.rest().empty()) continue;
    if (!read_counts(fields, counts) || !fields.expect("@") || !samples.add(fields, counts)) build.ignore();
  }
  samples.finish(build, kind.interval, !kind.growth);
  if (kind.growth) recording.allocations.facts.frees = false;
  note_problems(in, lines, recording);
  build.finish(0, maps && in.problem().empty());
}

}  // namespace tailback::analyzers::foreign
