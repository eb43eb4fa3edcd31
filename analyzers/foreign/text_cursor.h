// SPDX-License-Identifier: Apache-2.0
// Reads numbers and words off a line, bounds-checked. Every step says whether it succeeded; a number too large for 64 bits fails.
#pragma once
#include <charconv>
#include <cstdint>
#include <string_view>

namespace tailback::analyzers::foreign {

class TextCursor {
 public:
  explicit TextCursor(std::string_view text) : text_(text) {}

  void skip_blanks() {
    while (!text_.empty() && (text_.front() == ' ' || text_.front() == '\t')) text_.remove_prefix(1);
  }
  // Skips blanks, then the text given.
  bool expect(std::string_view text) {
    skip_blanks();
    if (!text_.starts_with(text)) return false;
    text_.remove_prefix(text.size());
    return true;
  }
  bool number(std::uint64_t& value, int base = 10) {
    skip_blanks();
    const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), value, base);
    if (error != std::errc{}) return false;
    text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
    return true;
  }
  // "0x..." or plain hex.
  bool address(std::uint64_t& value) {
    skip_blanks();
    if (text_.starts_with("0x")) text_.remove_prefix(2);
    return number(value, 16);
  }
  std::string_view word() {
    skip_blanks();
    const std::string_view word = text_.substr(0, text_.find_first_of(" \t"));
    text_.remove_prefix(word.size());
    return word;
  }
  std::string_view rest() const { return text_; }

 private:
  std::string_view text_;
};

}  // namespace tailback::analyzers::foreign
