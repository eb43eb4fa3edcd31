// SPDX-License-Identifier: Apache-2.0
// Which kind of work a function belongs to, by the names of libraries and their functions: the table is patterns.def.
// Knows libraries in use everywhere, never a particular program. Pure functions.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tailback::analyzers {

enum class PatternId : std::uint8_t {
  none,
#define PATTERN(id, blame, nature, low, expected, high, name, doing, why) id,
#define MATCH(kind, text)
#define ADVICE(text)
#include "analyzers/model/patterns.def"
#undef PATTERN
#undef MATCH
#undef ADVICE
};

enum class Blame : std::uint8_t { caller, self };
enum class Nature : std::uint8_t { wasteful, usual, kernel };

struct Pattern {
  PatternId id = PatternId::none;
  Blame blame = Blame::caller;
  Nature nature = Nature::usual;
  double low = 0, expected = 0.5, high = 1;  // part of its time that a typical repair removes
  const char* name = "";                     // "regex compiled in a loop"
  const char* doing = "";                    // "compiling regular expressions"
  const char* why = "";
  std::vector<const char*> advice;
};

const Pattern& pattern(PatternId id);

// The pattern of a function, none when there is none. `module`: base name of its module.
PatternId match_pattern(std::string_view bare_name, std::string_view module);

// A demangled name without return type, template arguments, parameters and inline namespaces:
// "void std::__cxx11::basic_string<char, ...>::_M_append(char const*)" -> "std::basic_string::_M_append".
std::string bare_name(std::string_view demangled);

// Code of a language's or system's runtime or of a general-purpose library: a finding names its caller instead.
bool is_runtime_code(std::string_view bare_name, std::string_view module);

// A program's own name for malloc (xmalloc, zcalloc, PyMem_RawRealloc, Arena::Allocate): who calls it is meant.
bool is_allocation_wrapper(std::string_view bare_name);
// A copy constructor or Rust's Clone: it allocates for whoever wants the copy. `full`: demangled in full.
bool copies_an_object(std::string_view full);

// Code of a container that holds blocks of its own (vector, map, list, ...; strings and smart pointers are none).
bool is_container_code(std::string_view bare_name);

}  // namespace tailback::analyzers
