// SPDX-License-Identifier: Apache-2.0
#include "tools/reports/stack_lines.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/reports/format.h"

namespace tailback::tools {

namespace {

using analyzers::Frame;

struct Entry {
  const Frame* frame = nullptr;
  std::size_t repeats = 1;  // times the group that ends here stands in a row
  std::size_t group = 1;    // frames in the group
};

bool same(const Frame& a, const Frame& b) { return a.function == b.function && a.module == b.module; }

// How often the `period` frames at `at` follow each other.
std::size_t repetitions(const std::vector<Frame>& frames, std::size_t at, std::size_t period) {
  std::size_t end = at + period;
  while (end < frames.size() && same(frames[end], frames[end - period])) ++end;
  return (end - at) / period;
}

// Recursion of up to four functions that call each other becomes one round with its count.
std::vector<Entry> collapsed(const std::vector<Frame>& frames) {
  constexpr std::size_t kLongestRound = 4;
  std::vector<Entry> entries;
  for (std::size_t at = 0; at < frames.size();) {
    std::size_t period = 1, times = 1;
    for (std::size_t round = 1; round <= kLongestRound && at + round <= frames.size(); ++round)
      if (const std::size_t n = repetitions(frames, at, round); n > 1 && n * round > times * period) period = round, times = n;
    for (std::size_t i = 0; i < period; ++i) entries.push_back({&frames[at + i], i + 1 == period ? times : 1, period});
    at += period * times;
  }
  return entries;
}

std::string base_name(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

std::string right_side(const Frame& frame) {
  std::string text = frame.file.empty() ? frame.module : base_name(frame.file);
  if (!frame.file.empty() && frame.line) text += fmt::format(":{}", frame.line);
  if (frame.inlined) text += text.empty() ? "inlined" : ", inlined";
  return printable(text);
}

std::string remark(const Entry& entry) {
  if (entry.repeats < 2) return "";
  return entry.group == 1 ? fmt::format(" (x {})", entry.repeats) : fmt::format(" (these {} x {})", entry.group, entry.repeats);
}

std::string line_of(const Entry& entry, std::size_t name_width, bool unicode) {
  const std::string note = remark(entry);
  const std::size_t room = name_width > note.size() ? name_width - note.size() : 1;
  return padded(shortened(printable(entry.frame->function), room, unicode) + note, name_width) + "  " + right_side(*entry.frame);
}

}  // namespace

std::vector<std::string> stack_lines(const std::vector<Frame>& frames, std::size_t width, bool unicode, std::size_t most) {
  const std::vector<Entry> entries = collapsed(frames);
  std::size_t widest_name = 0, widest_place = 0;
  for (const Entry& entry : entries) {
    widest_name = std::max(widest_name, display_width(entry.frame->function) + remark(entry).size());
    widest_place = std::max(widest_place, display_width(right_side(*entry.frame)));
  }
  widest_place = std::min(widest_place, width / 3);
  const std::size_t name_width = std::min(widest_name, width > widest_place + 2 ? width - widest_place - 2 : 1);

  const bool elide = entries.size() > most;
  const std::size_t head = elide ? (most * 2) / 3 : entries.size();
  const std::size_t tail = elide ? most - head - 1 : 0;
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < head; ++i) lines.push_back(line_of(entries[i], name_width, unicode));
  if (elide) lines.push_back(fmt::format("{} {} more frames", unicode ? "\xe2\x80\xa6" : "...", entries.size() - head - tail));
  for (std::size_t i = entries.size() - tail; i < entries.size(); ++i) lines.push_back(line_of(entries[i], name_width, unicode));
  for (std::string& line : lines) line = shortened(line.substr(0, line.find_last_not_of(' ') + 1), width, unicode);
  return lines;
}

}  // namespace tailback::tools
