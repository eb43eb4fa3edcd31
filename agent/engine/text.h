// SPDX-License-Identifier: Apache-2.0
// Text in fixed buffers for the agent: building paths and messages, reading the kernel's tables. Signal-safe, no locale, no
// allocation; a text that does not fit is cut, stays terminated, and says so.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tailback::engine {

class Text {
 public:
  Text(char* buffer, std::size_t size) : buffer_(buffer), size_(size) { buffer_[0] = 0; }

  Text& add(std::string_view text) {
    for (const char c : text) add_char(c);
    return *this;
  }
  Text& add_char(char c) {
    if (used_ + 1 < size_) {
      buffer_[used_++] = c;
      buffer_[used_] = 0;
    } else {
      overflowed_ = true;
    }
    return *this;
  }
  Text& add_number(std::uint64_t value) {
    char digits[20];
    int n = 0;
    do digits[n++] = static_cast<char>('0' + value % 10);
    while (value /= 10);
    while (n) add_char(digits[--n]);
    return *this;
  }
  std::string_view view() const { return {buffer_, used_}; }
  bool overflowed() const { return overflowed_; }

 private:
  char* buffer_;
  std::size_t size_;
  std::size_t used_ = 0;
  bool overflowed_ = false;
};

// Reads numbers and words from a text, left to right.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  std::uint64_t number() {  // decimal; skips everything before the first digit
    while (!rest_.empty() && (rest_[0] < '0' || rest_[0] > '9')) rest_.remove_prefix(1);
    return digits(10);
  }
  std::uint64_t hex() { return digits(16); }
  std::string_view word() {  // up to white space
    while (!rest_.empty() && is_space(rest_[0])) rest_.remove_prefix(1);
    std::size_t n = 0;
    while (n < rest_.size() && !is_space(rest_[n])) ++n;
    return take(n);
  }
  std::string_view line() {
    const auto n = rest_.find('\n');
    const auto text = take(n == std::string_view::npos ? rest_.size() : n);
    if (!rest_.empty()) rest_.remove_prefix(1);
    return text;
  }
  bool skip_past(std::string_view what) {  // false: not found, nothing consumed
    const auto at = rest_.find(what);
    if (at == std::string_view::npos) return false;
    rest_.remove_prefix(at + what.size());
    return true;
  }
  bool empty() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }

 private:
  static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n'; }
  std::string_view take(std::size_t n) {
    const std::string_view text(rest_.data(), n);
    rest_.remove_prefix(n);
    return text;
  }
  std::uint64_t digits(unsigned base) {
    std::uint64_t value = 0;
    for (; !rest_.empty(); rest_.remove_prefix(1)) {
      const char c = rest_[0];
      unsigned digit = 99;
      if (c >= '0' && c <= '9') digit = static_cast<unsigned>(c - '0');
      else if (c >= 'a' && c <= 'f') digit = static_cast<unsigned>(c - 'a') + 10;
      if (digit >= base) break;
      value = value * base + digit;
    }
    return value;
  }
  std::string_view rest_;
};

// The number behind `key` at the start of a line ("MemAvailable:   123 kB" -> 123), 0 when missing.
inline std::uint64_t number_after(std::string_view text, std::string_view key) {
  for (Scanner lines(text); !lines.empty();) {
    Scanner line(lines.line());
    if (line.rest().starts_with(key)) {
      line.skip_past(key);
      return line.number();
    }
  }
  return 0;
}

}  // namespace tailback::engine
