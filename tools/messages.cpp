// SPDX-License-Identifier: Apache-2.0
#include "tools/messages.h"

#include <cstdio>

namespace tailback::tools {

void message(const std::string& text) { std::fprintf(stderr, "tailback: %s\n", text.c_str()); }

std::string shell_quoted(const std::string& word) {
  constexpr const char* kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? "'\\''" : std::string(1, c);
  return out + "'";
}

}  // namespace tailback::tools
