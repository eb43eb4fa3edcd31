// SPDX-License-Identifier: Apache-2.0
// The table of patterns.def as data, and the reduction of demangled names that makes it match.
#include "analyzers/model/patterns.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace tailback::analyzers {
namespace {

enum class MatchKind : std::uint8_t { scope, prefix, exact, word, module };

struct Match {
  PatternId pattern;
  MatchKind kind;
  std::string_view text;
};

struct Tables {
  std::vector<Pattern> patterns{Pattern{}};
  std::vector<Match> matches;

  Tables() {
    const auto add_match = [this](MatchKind kind, std::string_view text) { matches.push_back({patterns.back().id, kind, text}); };
#define PATTERN(id, blame, nature, low, expected, high, name, doing, why) \
  patterns.push_back({PatternId::id, Blame::blame, Nature::nature, low, expected, high, name, doing, why, {}});
#define MATCH(kind, text) add_match(MatchKind::kind, text);
#define ADVICE(text) patterns.back().advice.push_back(text);
#include "analyzers/model/patterns.def"
#undef PATTERN
#undef MATCH
#undef ADVICE
  }
};

const Tables& tables() {
  static const Tables instance;
  return instance;
}

// The text as a word of the name's last component: at its start, after '_', or where the case changes.
bool has_word(std::string_view name, std::string_view word) {
  const std::size_t scope = name.rfind("::");
  if (scope != std::string_view::npos) name.remove_prefix(scope + 2);
  for (std::size_t at = 0; at + word.size() <= name.size(); ++at) {
    const auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
    if (!std::equal(word.begin(), word.end(), name.begin() + static_cast<std::ptrdiff_t>(at), [&](char w, char n) { return same(n, w); })) continue;
    const bool starts = at == 0 || name[at - 1] == '_' || (std::isupper(static_cast<unsigned char>(name[at])) && !std::isupper(static_cast<unsigned char>(name[at - 1])));
    const std::size_t end = at + word.size();
    const bool ends = end == name.size() || !std::islower(static_cast<unsigned char>(name[end]));
    if (starts && ends) return true;
  }
  return false;
}

bool matches(const Match& match, std::string_view name, std::string_view module) {
  switch (match.kind) {
    case MatchKind::exact: return name == match.text;
    case MatchKind::prefix: return name.starts_with(match.text);
    case MatchKind::scope: return name.starts_with(match.text) && (name.size() == match.text.size() || name.substr(match.text.size()).starts_with("::"));
    case MatchKind::word: return has_word(name, match.text);
    case MatchKind::module: return module.starts_with(match.text);
  }
  return false;
}

bool starts_with_any(std::string_view text, const auto& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](std::string_view prefix) { return text.starts_with(prefix); });
}

// The symbol behind "operator", empty for words (operator new, operator bool).
std::string_view operator_token(std::string_view rest) {
  static constexpr std::array<std::string_view, 24> kTokens = {"<=>", "<<=", ">>=", "->*", "<<", ">>", "<=", ">=", "->", "==", "!=", "+=",
                                                               "-=", "*=", "()", "[]", "&&", "||", "++", "--", "<", ">", "+", "-"};
  for (const std::string_view token : kTokens)
    if (rest.starts_with(token)) return token;
  return {};
}

// Copies `name` without <...> and (...) groups; keeps operator names and "(anonymous namespace)" whole.
std::string without_groups(std::string_view name) {
  static constexpr std::string_view kAnonymous = "(anonymous namespace)";
  std::string out;
  int depth = 0;
  for (std::size_t at = 0; at < name.size();) {
    const std::string_view rest = name.substr(at);
    const bool word_start = at == 0 || (!std::isalnum(static_cast<unsigned char>(name[at - 1])) && name[at - 1] != '_');
    if (word_start && rest.starts_with("operator")) {
      const std::size_t length = 8 + operator_token(rest.substr(8)).size();
      if (depth == 0) out.append(rest.substr(0, length));
      at += length;
    } else if (rest.starts_with(kAnonymous)) {
      if (depth == 0) out.append("{anonymous}");
      at += kAnonymous.size();
    } else {
      const char c = name[at++];
      if (c == '<' || c == '(') ++depth;
      else if ((c == '>' || c == ')') && depth > 0) --depth;
      else if (depth == 0) out += c;
    }
  }
  return out;
}

}  // namespace

const Pattern& pattern(PatternId id) { return tables().patterns[static_cast<std::size_t>(id)]; }

PatternId match_pattern(std::string_view bare, std::string_view module) {
  for (const Match& match : tables().matches)
    if (matches(match, bare, module)) return match.pattern;
  return PatternId::none;
}

// Rust: "<alloc::vec::Vec<u8> as core::iter::Extend>::extend" and "<alloc::raw_vec::RawVec<u8>>::grow_one" -> the type and what follows. Of
// a type parameter or a simple type ("<T as alloc::slice::hack::ConvertVec>::to_vec") the trait says more.
std::string without_qualified_self(std::string_view name) {
  int depth = 0;
  for (std::size_t at = 0; at < name.size(); ++at) {
    depth += name[at] == '<' ? 1 : name[at] == '>' && (at == 0 || name[at - 1] != '-') ? -1 : 0;
    if (depth > 0) continue;
    std::string_view self = name.substr(1, at - 1);
    if (const std::size_t as = self.find(" as "); as != std::string_view::npos) self = self.substr(0, as).find("::") == std::string_view::npos ? self.substr(as + 4) : self.substr(0, as);
    return std::string(self) + std::string(name.substr(at + 1));
  }
  return std::string(name);
}

std::string bare_name(std::string_view demangled) {
  constexpr int kMostNested = 8;
  std::string full(demangled);
  for (int level = 0; level < kMostNested && full.starts_with('<') && !full.starts_with("<unknown"); ++level) full = without_qualified_self(full);
  std::string name = without_groups(full);
  for (const std::string_view suffix : {" const", " volatile", " &&", " &", " [clone"}) {
    const std::size_t at = name.find(suffix);
    if (at != std::string::npos && name.compare(0, 9, "operator ") != 0) name.erase(at);
  }
  while (!name.empty() && name.back() == ' ') name.pop_back();
  const std::size_t operator_at = name.find("operator");
  const std::size_t space = name.rfind(' ', operator_at == std::string::npos ? std::string::npos : operator_at);
  if (space != std::string::npos) name.erase(0, space + 1);  // the return type
  for (const std::string_view inline_namespace : {"__cxx11::", "__1::", "_V2::"}) {
    for (std::size_t at = name.find(inline_namespace); at != std::string::npos; at = name.find(inline_namespace)) name.erase(at, inline_namespace.size());
  }
  const std::size_t version = name.find('@');  // memcpy@@GLIBC_2.14
  if (version != std::string::npos && version > 0) name.erase(version);
  return name;
}

bool is_runtime_code(std::string_view bare, std::string_view module) {
  // Rust's core and alloc by their modules: programs in C++ have namespaces of these names.
  static constexpr std::array<std::string_view, 43> kScopes = {"__lll_",
      "core::ptr::", "core::slice::", "core::iter::", "core::ops::", "core::str::", "core::fmt::", "core::option::", "core::result::",
      "core::clone::", "core::cmp::", "core::num::", "core::array::", "core::cell::", "core::hash::", "core::convert::", "core::any::",
      "alloc::vec::", "alloc::raw_vec::", "alloc::string::", "alloc::alloc::", "alloc::slice::",
      "alloc::collections::", "alloc::sync::", "alloc::rc::", "alloc::boxed::", "alloc::borrow::",
      "_mm_", "_mm256_", "std::", "__gnu_cxx::", "__cxxabiv1::", "boost::", "fmt::", "absl::", "tbb::", "__cxa_", "_Unwind_", "operator new", "operator delete", "__gnu_", "abi::", "__gthread"};
  static constexpr std::array<std::string_view, 15> kModules = {
      "libc.so", "libc-2", "libm.so", "libm-2", "libpthread", "librt.", "libdl.", "libstdc++", "libc++", "libgcc_s", "ld-linux", "ld-2", "[vdso]", "linux-vdso", "libgomp"};
  return starts_with_any(bare, kScopes) || starts_with_any(module, kModules);
}

bool is_allocation_wrapper(std::string_view bare) {
  static constexpr std::array<std::string_view, 12> kEnds = {"malloc", "calloc", "realloc", "zalloc", "reallocarray", "memalign", "strdup", "strndup", "memdup", "mem_alloc", "mem_realloc", "mallocz"};
  static constexpr std::array<std::string_view, 10> kNames = {"alloc", "allocate", "Alloc", "Allocate", "do_allocate", "allocate_raw", "AllocateRaw", "lzma_alloc", "allocate_buffer", "AllocateSlow"};
  const std::size_t scope = bare.rfind("::");
  const std::string_view last = scope == std::string_view::npos ? bare : bare.substr(scope + 2);
  std::string lower(last);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::any_of(kEnds.begin(), kEnds.end(), [&](std::string_view end) { return lower.ends_with(end); }) ||
         std::find(kNames.begin(), kNames.end(), last) != kNames.end();
}

bool copies_an_object(std::string_view full) {
  if (full.ends_with(" as core::clone::Clone>::clone")) return true;
  const std::size_t parameters = full.rfind('(');
  if (parameters == std::string_view::npos || parameters < 3) return false;
  std::string_view name = full.substr(0, parameters), taken = full.substr(parameters + 1);
  if (!taken.ends_with(" const&)")) return false;
  taken.remove_suffix(std::string_view(" const&)").size());
  const std::size_t scope = taken.rfind("::");
  return name == std::string(taken) + "::" + std::string(scope == std::string_view::npos ? taken : taken.substr(scope + 2));
}

bool is_container_code(std::string_view bare) {
  static constexpr std::array<std::string_view, 26> kContainers = {
      "std::_Hashtable", "std::__detail::_Map_base", "std::__detail::_Hashtable_alloc", "std::_Rb_tree", "std::__tree", "std::__hash_table", "std::unordered_", "std::map", "std::multimap",
      "std::set", "std::multiset", "std::list", "std::__list", "std::forward_list", "std::_Fwd_list", "std::deque", "std::_Deque_base", "std::vector", "std::_Vector_base",
      "std::_List_base", "std::__cxx11::list", "std::__cxx11::_List_base", "std::back_insert_iterator", "std::insert_iterator", "boost::unordered", "absl::"};
  return starts_with_any(bare, kContainers);
}

}  // namespace tailback::analyzers
