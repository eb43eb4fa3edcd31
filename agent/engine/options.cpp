// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/options.h"

#include "agent/capture/pages.h"
#include "agent/engine/text.h"

namespace tailback::engine {

namespace {

constexpr std::string_view kPrefix = "TAILBACK_";

// The value when the entry is the variable.
const char* value_of(const char* entry, std::string_view name) {
  for (const char c : name)
    if (*entry++ != c) return nullptr;
  return *entry == '=' ? entry + 1 : nullptr;
}

bool parse_flag(std::string_view text, bool& value) {
  for (const std::string_view yes : {"1", "yes", "on", "true"})
    if (text == yes) return value = true, true;
  for (const std::string_view no : {"0", "no", "off", "false"})
    if (text == no) return value = false, true;
  return false;
}

bool parse_count(std::string_view text, std::uint64_t& value) {
  Scanner scanner(text);
  if (text.empty() || text[0] < '0' || text[0] > '9' || text.size() > 18) return false;
  const std::uint64_t read = scanner.number();
  if (!scanner.empty()) return false;
  value = read;
  return true;
}

// Decimal seconds to nanoseconds; digits beyond the ninth are dropped.
bool parse_seconds(std::string_view text, std::uint64_t& value) {
  std::uint64_t ns = 0, scale = 1'000'000'000;
  bool fraction = false, digit_seen = false;
  if (text.size() > 18) return false;
  for (const char c : text) {
    if (c == '.' && !fraction) {
      fraction = true;
      continue;
    }
    if (c < '0' || c > '9') return false;
    digit_seen = true;
    if (!fraction) {
      if (ns > 9'000'000'000'000'000'000u / 10) return false;
      ns = ns * 10 + static_cast<std::uint64_t>(c - '0') * 1'000'000'000u;
    } else {
      scale /= 10;
      ns += static_cast<std::uint64_t>(c - '0') * scale;
    }
  }
  if (digit_seen) value = ns;
  return digit_seen;
}

// TAILBACK_MAX_SIZE -> max_size
std::string_view option_name(std::string_view environment, char* buffer, std::size_t size) {
  Text name(buffer, size);
  environment.remove_prefix(kPrefix.size());
  for (const char c : environment) name.add_char(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
  return name.view();
}

}  // namespace

const char* Options::keep(const char* text) {
  const std::size_t bytes = std::string_view(text).size() + 1;
  char* to = texts_ + texts_used_;
  if (bytes <= sizeof texts_ - texts_used_) texts_used_ += bytes;
  else to = bytes <= kOptionTextBytes ? static_cast<char*>(capture::map_pages(bytes)) : nullptr;
  if (to) Text(to, bytes).add(text);
  return to;
}

void Options::read_entry(const char* entry) {
  const auto parse_text = [this](const char* text, const char*& value) {
    const char* kept = *text ? keep(text) : nullptr;
    if (kept) value = kept;
    return kept != nullptr;
  };
#define OPTION(field, name, kind, value, says)                                   \
  if (const char* given = value_of(entry, name)) {                               \
    if (!parse_##kind(given, field)) rejected = name;                            \
    return;                                                                      \
  }
#include "agent/engine/options.def"
#undef OPTION
}

// One way through the environment, which is longer than the list of options; backwards, so that the first of two entries counts, as
// for getenv.
void Options::read(char** environment) {
  char** end = environment;
  while (end && *end) ++end;
  while (end != environment)
    if (std::string_view(*--end).starts_with(kPrefix)) read_entry(*end);
  if (frequency < 1 || frequency > 10'000) {
    frequency = frequency < 1 ? 1 : 10'000;
    rejected = "TAILBACK_FREQUENCY";
  }
}

void Options::for_each(void (*visit)(void*, std::string_view, std::string_view), void* context) const {
  char name_buffer[64], value_buffer[32];
  const auto flag = [](bool on) { return std::string_view(on ? "1" : "0"); };
  const auto number = [&](std::uint64_t value) {
    Text text(value_buffer, sizeof value_buffer);
    return text.add_number(value).view();
  };
#define TAILBACK_flag(field) flag(field)
#define TAILBACK_count(field) number(field)
#define TAILBACK_seconds(field) number(field)
#define TAILBACK_text(field) std::string_view(field)
#define OPTION(field, environment, kind, value, says) \
  visit(context, option_name(environment, name_buffer, sizeof name_buffer), TAILBACK_##kind(field));
#include "agent/engine/options.def"
#undef OPTION
#undef TAILBACK_flag
#undef TAILBACK_count
#undef TAILBACK_seconds
#undef TAILBACK_text
}

}  // namespace tailback::engine
