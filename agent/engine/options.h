// SPDX-License-Identifier: Apache-2.0
// The options in force, from the environment, as declared in options.def. Values that cannot be read keep the default and
// leave a message for the dump; the program's own output is never touched. Read once, before anything runs.
#pragma once
#include <cstdint>
#include <string_view>

namespace tailback::engine {

inline constexpr std::size_t kOptionTextBytes = 4096;       // of one value, at most
inline constexpr std::size_t kShortOptionTextBytes = 256;  // of all that need no page of their own

struct Options {
#define TAILBACK_flag(field, value) bool field = value;
#define TAILBACK_count(field, value) std::uint64_t field = value;
#define TAILBACK_seconds(field, value) std::uint64_t field = value;
#define TAILBACK_text(field, value) const char* field = value;
#define OPTION(field, environment, kind, value, says) TAILBACK_##kind(field, value)
#include "agent/engine/options.def"
#undef OPTION
#undef TAILBACK_flag
#undef TAILBACK_count
#undef TAILBACK_seconds
#undef TAILBACK_text

  const char* rejected = nullptr;  // name of the last variable whose value could not be read

  // `environment`: as environ. Texts are copied: servers write their titles over the environment that they were started with.
  void read(char** environment);
  // Calls visit(name, value as text) for each option.
  void for_each(void (*visit)(void* context, std::string_view name, std::string_view value), void* context) const;

  Options() = default;
  Options(const Options&) = delete;  // texts point into the object
  Options& operator=(const Options&) = delete;

 private:
  const char* keep(const char* text);  // nullptr: no room

  void read_entry(const char* entry);

  char texts_[kShortOptionTextBytes] = {};
  std::size_t texts_used_ = 0;
};

}  // namespace tailback::engine
