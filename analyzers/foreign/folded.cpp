// SPDX-License-Identifier: Apache-2.0
// Folded stacks (Brendan Gregg's FlameGraph): a line for each stack, root first, frames joined by ';', a blank, a number. Lines that begin
// with '#' are comments; frames may end with _[k] (kernel), _[i] (inlined) or _[j] (JIT). The format has no unit: the number is taken for
// samples at the usual 99 Hz, so that shares are right and seconds are a guess, which the report says.
#include <algorithm>
#include <unordered_map>

#include "analyzers/foreign/heap_samples.h"
#include "analyzers/foreign/profile_reader.h"
#include "analyzers/input_error.h"

namespace tailback::analyzers::foreign {

namespace {

constexpr std::uint64_t kSampleNs = 1'000'000'000 / 99, kMostSamples = std::uint64_t{1} << 32;

// The stack and its number; false for what is neither that nor a comment.
bool split(std::string_view line, std::string_view& stack, std::uint64_t& count) {
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
  const std::size_t blank = line.rfind(' ');
  if (blank == std::string_view::npos || blank == 0) return false;
  TextCursor number(line.substr(blank + 1));
  stack = line.substr(0, blank);
  return number.number(count) && number.rest().empty();
}

bool is_comment(std::string_view line) { return line.empty() || line.starts_with('#'); }

std::string_view without_suffix(std::string_view frame) {
  const bool marked = frame.size() > 4 && frame.ends_with(']') && frame.substr(frame.size() - 4, 2) == "_[";
  return marked ? frame.substr(0, frame.size() - 4) : frame;
}

// Frames have names only: each name gets an address of its own.
class Names {
 public:
  explicit Names(RecordingBuilder& build) : build_(build) {}

  RecordingBuilder::Place place(std::string_view name) {
    if (const auto known = known_.find(std::string(name)); known != known_.end()) return {0, known->second};
    const std::uint64_t address = known_.size() + 1;
    if (!build_.frame(0, address, 0, name, "", 0)) return {};
    known_.emplace(name, address);
    return {0, address};
  }

 private:
  RecordingBuilder& build_;
  std::unordered_map<std::string, std::uint64_t> known_;
};

std::vector<RecordingBuilder::Place> places_of(std::string_view stack, Names& names) {
  std::vector<RecordingBuilder::Place> places;
  while (true) {
    const std::size_t end = stack.find(';');
    const std::string_view frame = without_suffix(stack.substr(0, end));
    places.push_back(names.place(frame.empty() ? "?" : frame));
    if (end == std::string_view::npos) break;
    stack.remove_prefix(end + 1);
  }
  std::reverse(places.begin(), places.end());
  return places;
}

}  // namespace

bool is_folded(std::string_view head) {
  bool joined = false, any = false;
  for (const char c : head)
    if (static_cast<unsigned char>(c) < ' ' && c != '\n' && c != '\t' && c != '\r') return false;
  for (std::size_t end; (end = head.find('\n')) != std::string_view::npos; head.remove_prefix(end + 1)) {
    const std::string_view line = head.substr(0, end);
    std::string_view stack;
    std::uint64_t count = 0;
    if (is_comment(line)) continue;
    if (!split(line, stack, count)) return false;
    any = true;
    joined |= stack.find(';') != std::string_view::npos;
  }
  return any && joined;
}

void read_folded(InputStream& in, Recording& recording) {
  LineReader lines(in);
  RecordingBuilder build(recording, "file of folded stacks", "stacks with numbers, taken for samples at 99 Hz; shares are right, seconds a guess");
  Names names(build);
  while (const auto line = lines.line()) {
    std::string_view stack;
    std::uint64_t count = 0;
    if (is_comment(*line)) continue;
    if (!split(*line, stack, count)) {
      build.ignore();
      continue;
    }
    count = std::min(count, kMostSamples);
    if (count) build.add_cpu(build.stack(places_of(stack, names)), count, count * kSampleNs);
  }
  note_problems(in, lines, recording);
  build.finish(0, in.problem().empty());
}

}  // namespace tailback::analyzers::foreign
