// SPDX-License-Identifier: Apache-2.0
// Hints and errors of the command, always on stderr.
#pragma once
#include <string>

namespace tailback::tools {

void message(const std::string& text);              // "tailback: TEXT"
std::string shell_quoted(const std::string& word);  // as one word of a POSIX shell; unchanged when nothing needs quoting

}  // namespace tailback::tools
