// SPDX-License-Identifier: Apache-2.0
// Values of options: checks what a person typed and brings it into the one form that the agent reads. Each throws
// std::invalid_argument whose text says what would be right ("a number of seconds such as 30 or 2.5").
#pragma once
#include <cstdint>
#include <string>

namespace tailback::tools {

std::string frequency_value(const std::string& text);  // "199" -> "199"
std::string bytes_value(const std::string& text);      // "512k", "1.5GiB" -> bytes
std::string dump_size_value(const std::string& text);  // the same, and enough for a dump
std::string seconds_value(const std::string& text);    // "2.5", "500ms", "2m" -> decimal seconds
std::string yes_no_value(const std::string& text);     // -> "yes" or "no"
std::string on_off_value(const std::string& text);     // -> "on" or "off"
std::string alloc_value(const std::string& text);      // off, sampled, exact
std::string locks_value(const std::string& text);      // off, on, order
std::string path_value(const std::string& text);       // not empty, one line

std::uint64_t parse_bytes(const std::string& text);
double parse_seconds(const std::string& text);

}  // namespace tailback::tools
