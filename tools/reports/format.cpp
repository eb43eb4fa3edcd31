// SPDX-License-Identifier: Apache-2.0
#include "tools/reports/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>

namespace tailback::tools {

namespace {

// Length of the valid UTF-8 sequence at the start, 0 when there is none (Unicode 15, table 3-7).
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned a = byte(0), b = byte(1);
  if (a < 0x80) return 1;
  if (a >= 0xc2 && a <= 0xdf) return tail(1) ? 2 : 0;
  if (a >= 0xe0 && a <= 0xef) {
    if (!tail(1) || !tail(2) || (a == 0xe0 && b < 0xa0) || (a == 0xed && b > 0x9f)) return 0;
    return 3;
  }
  if (a >= 0xf0 && a <= 0xf4) {
    if (!tail(1) || !tail(2) || !tail(3) || (a == 0xf0 && b < 0x90) || (a == 0xf4 && b > 0x8f)) return 0;
    return 4;
  }
  return 0;
}

std::string significant(double value) {
  const double size = std::fabs(value);
  return fmt::format("{:.{}f}", value, size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2);
}

std::string cleaned(std::string_view text, bool keep_control, std::string_view replacement) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    const auto first = static_cast<unsigned char>(text[0]);
    const bool c1 = length == 2 && first == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0;
    const bool control = first < 0x20 || first == 0x7f || c1;
    if (length == 0)
      out += replacement;
    else if (control && !keep_control)
      out += '?';
    else
      out += text.substr(0, length);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

bool is_unit(std::string_view word) {
  for (const std::string_view unit : {"%", "s", "ms", "us", "ns", "min", "h", "bytes", "KiB", "MiB", "GiB", "TiB", "Hz"})
    if (word.starts_with(unit) && (word.size() == unit.size() || std::ispunct(static_cast<unsigned char>(word[unit.size()]))))
      return true;
  return false;
}

// Where a line may not be broken: between a number and its unit, and before a separator.
bool belongs_to(std::string_view before, std::string_view word) {
  if (!before.empty() && (word == "|" || word == "\xc2\xb7")) return true;
  return !before.empty() && std::isdigit(static_cast<unsigned char>(before.back())) && is_unit(word);
}

std::string_view next_word(std::string_view& text) {
  const std::size_t begin = std::min(text.find_first_not_of(' '), text.size());
  const std::size_t end = std::min(text.find(' ', begin), text.size());
  const std::string_view word = text.substr(begin, end - begin);
  text.remove_prefix(end);
  return word;
}

// The words of a text, those joined that must stay on one line.
std::vector<std::string> unbroken_words(std::string_view text) {
  std::vector<std::string> words;
  std::string_view before;
  for (std::string_view word; !(word = next_word(text)).empty(); before = word) {
    if (belongs_to(before, word))
      words.back() += ' ' + std::string(word);
    else
      words.emplace_back(word);
  }
  return words;
}

// Bytes of the first `columns` code points.
std::size_t bytes_of(std::string_view text, std::size_t columns) {
  std::size_t at = 0;
  for (; columns && at < text.size(); --columns) at += std::max<std::size_t>(sequence_length(text.substr(at)), 1);
  return at;
}

}  // namespace

std::string format_seconds(double seconds) {
  const double size = std::fabs(seconds);
  if (size >= 3600) return fmt::format("{:.0f} h {:.0f} min", std::floor(size / 3600), std::floor(std::fmod(size, 3600) / 60));
  if (size >= 120) return fmt::format("{:.0f} min {:.0f} s", std::floor(size / 60), std::floor(std::fmod(size, 60)));
  if (size >= 1) return significant(seconds) + " s";
  if (size >= 1e-3) return significant(seconds * 1e3) + " ms";
  if (size >= 1e-6) return significant(seconds * 1e6) + " us";
  return size == 0 ? "0 s" : significant(seconds * 1e9) + " ns";
}

std::string format_bytes(double bytes) {
  constexpr std::array names = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
  std::size_t unit = 0;
  for (; std::fabs(bytes) >= 1024 && unit + 1 < names.size(); ++unit) bytes /= 1024;
  return unit == 0 ? fmt::format("{:.0f} bytes", bytes) : significant(bytes) + " " + names[unit];
}

std::string format_fraction(double fraction) {
  const double percent = fraction * 100, size = std::fabs(percent);
  if (size == 0) return "0 %";
  if (size < 0.01) return percent < 0 ? "> -0.01 %" : "< 0.01 %";
  return fmt::format("{:.{}f} %", percent, size >= 9.95 ? 0 : size >= 0.995 ? 1 : 2);
}

std::string format_count(double count) {
  if (std::fabs(count) < 1000 && count != std::floor(count)) return significant(count);
  std::string digits = fmt::format("{:.0f}", std::fabs(count));
  for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, ",");
  return (count < 0 ? "-" : "") + digits;
}

std::string format_quantity(double value, std::string_view unit) {
  if (unit == "seconds") return format_seconds(value);
  if (unit == "nanoseconds") return format_seconds(value * 1e-9);
  if (unit == "bytes") return format_bytes(value);
  if (unit == "fraction") return format_fraction(value);
  if (unit == "percent") return format_fraction(value / 100);
  if (unit == "count" || unit.empty()) return format_count(value);
  if (unit == "bytes/s" || unit == "bytes per second") return format_bytes(value) + "/s";
  return format_count(value) + " " + printable(unit);
}

std::string printable(std::string_view text) { return cleaned(text, false, "?"); }
std::string valid_utf8(std::string_view text) { return cleaned(text, true, "\xef\xbf\xbd"); }

std::size_t display_width(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string padded(std::string_view text, std::size_t width) {
  const std::size_t used = display_width(text);
  return std::string(text) + std::string(used < width ? width - used : 0, ' ');
}

std::string padded_left(std::string_view text, std::size_t width) {
  const std::size_t used = display_width(text);
  return std::string(used < width ? width - used : 0, ' ') + std::string(text);
}

std::string shortened(std::string_view text, std::size_t width, bool unicode) {
  const std::size_t used = display_width(text);
  if (used <= width) return std::string(text);
  const std::string_view mark = unicode ? "\xe2\x80\xa6" : "..";
  const std::size_t room = width > display_width(mark) ? width - display_width(mark) : 0;
  const std::size_t head = (room + 1) / 2, tail = room - head;
  return std::string(text.substr(0, bytes_of(text, head))) + std::string(mark) +
         std::string(text.substr(bytes_of(text, used - tail)));
}

std::vector<std::string> wrapped(std::string_view text, std::size_t width) {
  std::vector<std::string> lines;
  std::string line;
  for (const std::string& word : unbroken_words(text)) {
    if (!line.empty() && display_width(line) + 1 + display_width(word) > width) {
      lines.push_back(std::move(line));
      line.clear();
    }
    if (!line.empty()) line += ' ';
    line += word;
  }
  if (!line.empty() || lines.empty()) lines.push_back(std::move(line));
  return lines;
}

}  // namespace tailback::tools
