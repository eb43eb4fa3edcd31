// SPDX-License-Identifier: Apache-2.0
#include "tools/terminal.h"

#include <langinfo.h>
#include <locale.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace tailback::tools {

namespace {

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value && *value;
}

bool wants_colour(int descriptor) {
  if (is_set("NO_COLOR")) return false;
  if (is_set("CLICOLOR_FORCE") && std::string_view(std::getenv("CLICOLOR_FORCE")) != "0") return true;
  const char* terminal = std::getenv("TERM");
  return ::isatty(descriptor) && terminal && std::string_view(terminal) != "dumb";
}

// The locale is asked for on its own, so that number formats of the process stay those of C.
bool locale_is_utf8() {
  const locale_t locale = ::newlocale(LC_CTYPE_MASK, "", static_cast<locale_t>(nullptr));
  if (!locale) return false;
  const bool utf8 = std::string_view(::nl_langinfo_l(CODESET, locale)) == "UTF-8";
  ::freelocale(locale);
  return utf8;
}

unsigned columns_of(int descriptor) {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  if (is_set("COLUMNS")) return static_cast<unsigned>(std::strtoul(std::getenv("COLUMNS"), nullptr, 10));
  return 80;
}

}  // namespace

Terminal terminal_of(int descriptor) {
  Terminal terminal;
  terminal.colour = wants_colour(descriptor);
  terminal.unicode = locale_is_utf8();
  terminal.width = std::clamp(columns_of(descriptor), 40u, 100u);
  return terminal;
}

}  // namespace tailback::tools
