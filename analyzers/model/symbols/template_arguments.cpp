// SPDX-License-Identifier: Apache-2.0
// The standard library's defaults by C++20, and the names of the parts libstdc++ and libc++ build their containers from.
#include "analyzers/model/symbols/template_arguments.h"

#include <array>

namespace tailback::analyzers {
namespace {

std::string_view trim(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

// "std::less<K>" with K as given.
bool is_of(std::string_view argument, std::string_view name, std::string_view of) {
  return argument.size() == name.size() + of.size() + 2 && argument.starts_with(name) && argument[name.size()] == '<' &&
         argument.substr(name.size() + 1, of.size()) == of && argument.ends_with('>');
}

bool is_default(std::string_view argument, std::string_view first) {
  static constexpr std::array<std::string_view, 7> kAlways{"std::allocator<",   "std::char_traits<", "std::__detail::",
                                                           "std::_Select1st<", "std::_Identity<",   "std::regex_traits<",
                                                           "std::istreambuf_iterator<"};
  static constexpr std::array<std::string_view, 4> kOfFirst{"std::less", "std::equal_to", "std::hash", "std::default_delete"};
  for (const std::string_view name : kAlways)
    if (argument.starts_with(name)) return true;
  for (const std::string_view name : kOfFirst)
    if (is_of(argument, name, first)) return true;
  return false;
}

}  // namespace

std::vector<std::string_view> split_arguments(std::string_view text) {
  std::vector<std::string_view> parts;
  int level = 0, parentheses = 0;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '(' || c == '{' || c == '[') ++parentheses;
    if (c == ')' || c == '}' || c == ']') --parentheses;
    if (parentheses > 0) continue;
    if (c == '<') ++level;
    if (c == '>' && (i == 0 || text[i - 1] != '-')) --level;
    if (c != ',' || level > 0) continue;
    parts.push_back(trim(text.substr(begin, i - begin)));
    begin = i + 1;
  }
  if (const std::string_view last = trim(text.substr(begin)); !last.empty()) parts.push_back(last);
  return parts;
}

void drop_default_arguments(std::string_view owner, std::vector<std::string>& arguments) {
  while (arguments.size() > 1 && is_default(arguments.back(), arguments.front())) arguments.pop_back();
  // Operators of streams and strings are templates over the traits alone.
  const bool of_operator = owner.find("operator") != std::string_view::npos;
  if (of_operator && arguments.size() == 1 && arguments[0].starts_with("std::char_traits<")) arguments.clear();
}

void collapse_standard_name(std::string& out, std::size_t word_start) {
  struct Name {
    std::string_view full, brief;
  };
  static constexpr std::array<Name, 14> kNames{{{"std::basic_string<char>", "std::string"},
                                                {"std::basic_string<wchar_t>", "std::wstring"},
                                                {"std::basic_string_view<char>", "std::string_view"},
                                                {"std::basic_string_view<wchar_t>", "std::wstring_view"},
                                                {"std::basic_ostream<char>", "std::ostream"},
                                                {"std::basic_istream<char>", "std::istream"},
                                                {"std::basic_iostream<char>", "std::iostream"},
                                                {"std::basic_stringstream<char>", "std::stringstream"},
                                                {"std::basic_ostringstream<char>", "std::ostringstream"},
                                                {"std::basic_istringstream<char>", "std::istringstream"},
                                                {"std::basic_stringbuf<char>", "std::stringbuf"},
                                                {"std::basic_streambuf<char>", "std::streambuf"},
                                                {"std::basic_regex<char>", "std::regex"},
                                                {"std::basic_filebuf<char>", "std::filebuf"}}};
  const std::string_view word = std::string_view(out).substr(word_start);
  for (const Name& name : kNames) {
    if (!word.ends_with(name.full)) continue;
    out.replace(out.size() - name.full.size(), name.full.size(), name.brief);
    return;
  }
}

bool skip_inline_namespace(std::string_view text, std::size_t& position, const std::string& out) {
  static constexpr std::array<std::string_view, 5> kInline{"__cxx11::", "__1::", "_V2::", "__ndk1::", "__8::"};
  if (!out.ends_with("::")) return false;
  for (const std::string_view name : kInline) {
    if (!text.substr(position).starts_with(name)) continue;
    position += name.size();
    return true;
  }
  return false;
}

}  // namespace tailback::analyzers
