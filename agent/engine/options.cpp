// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/options.h"

#include "agent/engine/text.h"

namespace tailback::engine {

namespace {

const char* lookup(char** environment, std::string_view name) {
  for (; environment && *environment; ++environment) {
    const std::string_view entry(*environment);
    if (entry.starts_with(name) && entry.size() > name.size() && entry[name.size()] == '=') return *environment + name.size() + 1;
  }
  return nullptr;
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
  environment.remove_prefix(std::string_view("TAILBACK_").size());
  for (const char c : environment) name.add_char(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
  return name.view();
}

}  // namespace

const char* Options::keep(const char* text) {
  if (texts_used_ >= sizeof texts_) return nullptr;
  Text copy(texts_ + texts_used_, sizeof texts_ - texts_used_);
  copy.add(text);
  if (copy.overflowed()) return nullptr;
  texts_used_ += copy.view().size() + 1;
  return copy.view().data();
}

void Options::read(char** environment) {
  const auto parse_text = [this](const char* text, const char*& value) {
    const char* kept = *text ? keep(text) : nullptr;
    if (kept) value = kept;
    return kept != nullptr;
  };
#define OPTION(field, name, kind, value, says)                                   \
  if (const char* given = lookup(environment, name); given && !parse_##kind(given, field)) rejected = name;
#include "agent/engine/options.def"
#undef OPTION
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
