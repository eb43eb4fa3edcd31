// SPDX-License-Identifier: Apache-2.0
// Knowledge of the C++ standard library's names that makes demangled text readable: default template arguments, names of
// string and stream types, inline namespaces. Plain text functions.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace tailback::analyzers {

// Splits at commas that are in no bracket; blanks around the parts go.
std::vector<std::string_view> split_arguments(std::string_view text);
// Drops arguments at the end that the standard library's templates have by default: allocators, traits, comparators, hashes
// of the first argument. `owner` is the template's name.
void drop_default_arguments(std::string_view owner, std::vector<std::string>& arguments);
// "...std::basic_string<char>" at the end of `out` becomes "...std::string", and so on for views, streams and wide ones.
void collapse_standard_name(std::string& out, std::size_t word_start);
// True when an inline namespace of the standard library begins at the position: it is passed over.
bool skip_inline_namespace(std::string_view text, std::size_t& position, const std::string& out);

}  // namespace tailback::analyzers
