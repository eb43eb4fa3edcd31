// SPDX-License-Identifier: Apache-2.0
// Numbers and texts as a person reads them: units that fit, columns that align, lines that wrap, nothing that could steer
// the terminal. Widths count code points; names with double-width characters may stick out, never break.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tailback::tools {

std::string format_seconds(double seconds);                        // "8.20 s", "350 ms", "12 us", "2 min 5 s"
std::string format_bytes(double bytes);                            // "1.5 MiB"
std::string format_fraction(double fraction);                      // "42 %", "0.4 %"
std::string format_count(double count);                            // "1,234,567"
std::string format_quantity(double value, std::string_view unit);  // by the unit's name: seconds, bytes, fraction, count, ...

// Control characters and broken UTF-8 replaced: names in a dump are foreign input.
std::string printable(std::string_view text);
std::string valid_utf8(std::string_view text);  // only broken UTF-8 replaced, by U+FFFD

std::size_t display_width(std::string_view text);
std::string padded(std::string_view text, std::size_t width);  // to the right with blanks
std::string padded_left(std::string_view text, std::size_t width);
std::string shortened(std::string_view text, std::size_t width, bool unicode);  // the middle elided

// Words into lines of at most `width` columns; a longer word gets a line of its own.
std::vector<std::string> wrapped(std::string_view text, std::size_t width);

}  // namespace tailback::tools
