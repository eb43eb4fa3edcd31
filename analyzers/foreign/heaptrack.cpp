// SPDX-License-Identifier: Apache-2.0
// Files of heaptrack, format versions 2 and 3 as `heaptrack PROGRAM` leaves them (KDE/heaptrack, src/track and src/analyze). A line for
// each record, numbers in hex, ids counted from 1 in the order of the lines, 0 for none:
//   v VERSION FORMAT           s LENGTH TEXT                     i ADDRESS MODULE [FUNCTION FILE LINE]...
//   X COMMAND                  t FRAME PARENT                    a SIZE STACK          (counted from 0)
//   I PAGE_SIZE PAGES          c MILLISECONDS    R PAGES         + KIND    - KIND
// Addresses are return addresses - 1 already; frames of one address run from the innermost outward. One pass, in windows of lines; a
// line of an event costs no more than its digits.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "analyzers/foreign/heaptrack_heap.h"
#include "analyzers/foreign/line_reader.h"
#include "analyzers/foreign/profile_reader.h"
#include "analyzers/foreign/recording_builder.h"
#include "analyzers/foreign/text_cursor.h"
#include "analyzers/input_error.h"

namespace tailback::analyzers::foreign {

namespace {

constexpr std::uint64_t kMillisecond = 1'000'000, kLatest = std::uint64_t{1} << 61;
constexpr std::size_t kMostStrings = 1 << 22, kMostStringBytes = 256 << 20, kLongestString = 8 << 20;
constexpr std::uint64_t kOldestFormat = 2, kNewestFormat = 3;

class Reader {
 public:
  explicit Reader(Recording& recording)
      : build_(recording, "heaptrack file", "every allocation and free, exact; no CPU time, waiting or I/O"), out_(recording) {}

  void read(InputStream& in);

 private:
  // Takes the records of [at, end), which ends with a newline; returns where it stopped: at a text that goes on behind it.
  const char* take(const char* at, const char* end);
  // What is no event. nullptr: needs more than there is.
  const char* other(const char* at, const char* end);
  void line(char kind, TextCursor fields);
  bool text(TextCursor fields, const char* end, const char*& after);
  void version(TextCursor fields);
  void address(TextCursor fields);
  void trace(TextCursor fields);
  void kind(TextCursor fields);
  void time(TextCursor fields);
  void resident(TextCursor fields);
  void command(std::string_view text);
  void finish(const InputStream& in, bool line_too_long);
  std::string_view string(std::uint64_t id) const { return id && id <= strings_.size() ? strings_[id - 1] : std::string_view(); }

  struct Address {
    std::uint64_t address = 0;
    ModuleId module = 0;
  };

  RecordingBuilder build_;
  Recording& out_;
  HeaptrackHeap heap_;
  std::vector<std::string> strings_;
  std::vector<Address> addresses_;
  std::vector<std::uint16_t> depths_{0};  // of the nodes
  std::size_t string_bytes_ = 0;
  std::uint64_t format_ = 0, page_size_ = 4096, now_ = 0, unnamed_ = 0, records_ = 0, next_resident_ = 0;
  bool whole_ = false;
};

const char* Reader::take(const char* at, const char* end) {
  while ((at = heap_.take_events(at, end)) < end) {
    const char* after = other(at, end);
    if (!after) break;
    at = after;
  }
  return at;
}

const char* Reader::other(const char* at, const char* end) {
  const char* newline = static_cast<const char*>(std::memchr(at, '\n', static_cast<std::size_t>(end - at)));
  const char* after = newline + 1;
  const std::string_view record(at, static_cast<std::size_t>(newline - at));
  ++records_;
  if (record.size() >= 2 && record[1] == ' ' && record[0] == 's') {
    if (!text(TextCursor(record.substr(2)), end, after)) return nullptr;
  } else if (record.size() >= 2 && record[1] == ' ') {
    line(record[0], TextCursor(record.substr(2)));
  }
  return after;
}

void Reader::line(char type, TextCursor fields) {
  switch (type) {
    case 'v': return version(fields);
    case 'X': return command(fields.rest());
    case 'i': return address(fields);
    case 't': return trace(fields);
    case 'a': return kind(fields);
    case 'c': return time(fields);
    case 'R': return resident(fields);
    case 'I':
      if (!fields.number(page_size_, 16) || page_size_ > (1u << 24)) page_size_ = 4096;
      return;
    case '#': whole_ = true; return;  // heaptrack's own figures, written at the very end
    default: return;                  // suppressions, debuggee attached
  }
}

// The text may hold newlines; only its length ends it. One that makes no sense keeps its number.
bool Reader::text(TextCursor fields, const char* end, const char*& after) {
  std::uint64_t length = 0;
  std::string_view found = fields.rest();
  if (format_ >= 3) {
    found = {};
    const bool told = fields.number(length, 16) && fields.rest().starts_with(' ') && length <= kLongestString;
    const char* begin = told ? fields.rest().data() + 1 : end;
    if (told && length >= static_cast<std::size_t>(end - begin)) return --records_, false;
    if (told && begin[length] == '\n') {
      found = {begin, length};
      after = begin + length + 1;
    } else {
      build_.ignore();
    }
  }
  const bool room = strings_.size() < kMostStrings && string_bytes_ + found.size() <= kMostStringBytes;
  if (!room) return build_.ignore(), true;
  string_bytes_ += found.size();
  strings_.emplace_back(found);
  return true;
}

void Reader::version(TextCursor fields) {
  std::uint64_t tool = 0;
  if (!fields.number(tool, 16) || !fields.number(format_, 16) || format_ < kOldestFormat || format_ > kNewestFormat)
    throw InputError(fmt::format("a heaptrack file of a format version other than {} or {}; record again with heaptrack 1.2 to 1.5", kOldestFormat, kNewestFormat));
}

void Reader::command(std::string_view text) {
  auto& kept = *out_.strings.emplace_back(std::make_unique<std::string>(text));
  out_.session.program = std::string_view(kept).substr(0, kept.find(' '));
  std::replace(kept.begin(), kept.end(), ' ', '\0');
  out_.session.command = kept;
}

void Reader::address(TextCursor fields) {
  std::uint64_t address = 0, module = 0, function = 0, file = 0, line = 0;
  if (addresses_.size() >= RecordingBuilder::kMostNodes) return build_.ignore();
  if (!fields.number(address, 16)) build_.ignore();
  fields.number(module, 16);
  const ModuleId owner = build_.module_named(string(module));
  addresses_.push_back({address, owner});
  std::uint32_t depth = 0;
  while (depth < RecordingBuilder::kMostDepth && fields.number(function, 16)) {
    const bool placed = fields.number(file, 16) && fields.number(line, 16);
    if (const std::string_view name = string(function); !name.empty())
      if (build_.frame(owner, address, depth, name, placed ? string(file) : "", placed ? line : 0)) ++depth;
    if (!placed) break;
  }
  unnamed_ += depth == 0;
}

void Reader::trace(TextCursor fields) {
  std::uint64_t frame = 0, parent = 0;
  if (out_.nodes.size() >= RecordingBuilder::kMostNodes) return build_.ignore();
  const bool read = fields.number(frame, 16) && fields.number(parent, 16);
  // A bad line keeps its number, so that those after it mean what they say.
  const bool good = read && frame && frame <= addresses_.size() && parent < out_.nodes.size() && depths_[parent] < RecordingBuilder::kMostDepth;
  if (!good) build_.ignore(), frame = parent = 0;
  const Address place = frame ? addresses_[frame - 1] : Address{};
  out_.nodes.push_back({place.address, static_cast<StackId>(parent), static_cast<std::uint8_t>(good ? 0 : 1), 0, place.module});
  depths_.push_back(static_cast<std::uint16_t>(depths_[parent] + 1));
}

void Reader::kind(TextCursor fields) {
  std::uint64_t size = 0, stack = 0;
  if (!fields.number(size, 16) || !fields.number(stack, 16) || stack >= out_.nodes.size()) build_.ignore(), stack = 0;
  heap_.add_kind(size, static_cast<StackId>(stack));
}

void Reader::time(TextCursor fields) {
  std::uint64_t milliseconds = 0;
  if (!fields.number(milliseconds, 16) || milliseconds > kLatest / kMillisecond || milliseconds * kMillisecond < now_) return build_.ignore();
  now_ = milliseconds * kMillisecond;
  heap_.tick(now_);
}

void Reader::resident(TextCursor fields) {
  std::uint64_t pages = 0;
  if (!fields.number(pages, 16) || pages > (std::uint64_t{1} << 40)) return build_.ignore();
  const std::uint64_t bytes = pages * page_size_, peak = out_.process.empty() ? 0 : out_.process.back().rss_peak_bytes;
  if (now_ >= next_resident_ || out_.process.empty()) {
    out_.process.emplace_back();
    next_resident_ = now_ + std::max(50 * kMillisecond, now_ / 64);  // the more seldom the longer the run
  }
  trace::ProcessState& state = out_.process.back();
  state.t = now_;
  state.rss_bytes = bytes;
  state.rss_peak_bytes = std::max(peak, bytes);
}

void Reader::finish(const InputStream& in, bool line_too_long) {
  if (!in.problem().empty()) out_.reader_notes.push_back("the file was read in part: " + in.problem());
  if (line_too_long) out_.reader_notes.push_back("the file was read in part: a line of it is too long to make sense");
  heap_.finish(now_, out_.allocations);
  out_.allocations.unknown_frees = heap_.unknown_events();
  if (heap_.unknown_events())
    out_.reader_notes.push_back(fmt::format("events of blocks that the file does not know: {}", heap_.unknown_events()));
  if (unnamed_)
    out_.reader_notes.push_back(fmt::format("{} of {} addresses have no name: heaptrack looks names up when it records; install the debug packages of the "
                                            "libraries and record again", unnamed_, addresses_.size()));
  build_.finish(now_, whole_ && in.problem().empty());
}

void Reader::read(InputStream& in) {
  LineReader lines(in);
  std::size_t kept = 0;
  while (true) {
    const std::string_view window = lines.window(kept);
    if (window.empty()) break;
    const char* end = window.data() + window.size();
    kept = static_cast<std::size_t>(end - take(window.data(), end));
  }
  if (records_ < 2) throw InputError("a heaptrack file that holds nothing; record again");
  finish(in, lines.line_too_long());
}

}  // namespace

bool is_heaptrack(std::string_view head) {
  TextCursor line(head.substr(0, head.find('\n')));
  std::uint64_t tool = 0, format = 0;
  return head.starts_with("v ") && line.expect("v") && line.number(tool, 16) && line.number(format, 16) && line.rest().empty();
}

void read_heaptrack(InputStream& in, Recording& recording) { Reader(recording).read(in); }

}  // namespace tailback::analyzers::foreign
