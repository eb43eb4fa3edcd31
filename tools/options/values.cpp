// SPDX-License-Identifier: Apache-2.0
#include "tools/options/values.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <stdexcept>
#include <string_view>

namespace tailback::tools {

namespace {

struct Unit {
  const char* suffix;
  double factor;
};

constexpr double kKi = 1024, kMi = kKi * 1024, kGi = kMi * 1024, kTi = kGi * 1024;
constexpr std::array kByteUnits = {Unit{"", 1},      Unit{"b", 1},    Unit{"k", kKi},   Unit{"kb", kKi}, Unit{"kib", kKi},
                                   Unit{"m", kMi},   Unit{"mb", kMi}, Unit{"mib", kMi}, Unit{"g", kGi},  Unit{"gb", kGi},
                                   Unit{"gib", kGi}, Unit{"t", kTi},  Unit{"tb", kTi},  Unit{"tib", kTi}};
constexpr std::array kTimeUnits = {Unit{"", 1},   Unit{"s", 1},    Unit{"ms", 1e-3}, Unit{"us", 1e-6},
                                   Unit{"m", 60}, Unit{"min", 60}, Unit{"h", 3600}};
constexpr double kLongestSeconds = 1e8;  // three years; the agent keeps nanoseconds in 64 bits
constexpr double kMostBytes = 1e17;
constexpr std::uint64_t kSmallestDump = 128 << 10;

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

template <std::size_t N>
double number_with_unit(const std::string& text, const std::array<Unit, N>& units, double most, const char* right) {
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  if (parsed.ec == std::errc{}) {
    std::string_view rest(parsed.ptr, static_cast<std::size_t>(end - parsed.ptr));
    while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
    const std::string suffix = lower(rest);
    for (const Unit& unit : units)
      if (suffix == unit.suffix && std::isfinite(number) && number >= 0 && number * unit.factor <= most)
        return number * unit.factor;
  }
  throw std::invalid_argument(right);
}

std::string one_of(const std::string& text, std::initializer_list<const char*> allowed, const std::string& right) {
  const std::string value = lower(text);
  for (const char* candidate : allowed)
    if (value == candidate) return value;
  throw std::invalid_argument(right);
}

bool is_yes(const std::string& text, const char* right) {
  const std::string value = one_of(text, {"yes", "on", "true", "1", "no", "off", "false", "0"}, right);
  return value == "yes" || value == "on" || value == "true" || value == "1";
}

}  // namespace

double parse_seconds(const std::string& text) {
  return number_with_unit(text, kTimeUnits, kLongestSeconds, "a time such as 30, 2.5, 500ms or 2m");
}

std::uint64_t parse_bytes(const std::string& text) {
  return static_cast<std::uint64_t>(
      number_with_unit(text, kByteUnits, kMostBytes, "a number of bytes such as 65536, 512k or 1G"));
}

std::string frequency_value(const std::string& text) {
  unsigned value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size() || value < 1 || value > 10'000)
    throw std::invalid_argument("a whole number of samples a second from 1 to 10000");
  return std::to_string(value);
}

std::string bytes_value(const std::string& text) {
  const std::uint64_t bytes = parse_bytes(text);
  if (bytes == 0) throw std::invalid_argument("a number of bytes above 0");
  return std::to_string(bytes);
}

std::string dump_size_value(const std::string& text) {
  const std::uint64_t bytes = parse_bytes(text);
  if (bytes < kSmallestDump) throw std::invalid_argument("at least 128k: a smaller dump would hold nothing useful");
  return std::to_string(bytes);
}

std::string seconds_value(const std::string& text) {
  std::string out = fmt::format("{:.9f}", parse_seconds(text));
  out.erase(out.find_last_not_of('0') + 1);
  if (out.back() == '.') out.pop_back();
  return out;
}

std::string yes_no_value(const std::string& text) { return is_yes(text, "yes or no") ? "yes" : "no"; }
std::string on_off_value(const std::string& text) { return is_yes(text, "on or off") ? "on" : "off"; }
std::string alloc_value(const std::string& text) { return one_of(text, {"off", "sampled", "exact"}, "off, sampled or exact"); }
std::string locks_value(const std::string& text) { return one_of(text, {"off", "on", "order"}, "off, on or order"); }

std::string path_value(const std::string& text) {
  if (text.empty() || text.find('\0') != std::string::npos) throw std::invalid_argument("a path");
  return text;
}

}  // namespace tailback::tools
