// SPDX-License-Identifier: Apache-2.0
// One line of progress on stderr, redrawn in place; nothing at all when stderr is no terminal.
#pragma once
#include <string>

namespace tailback::tools {

void progress_line(const std::string& text);
void end_progress();  // clears the line

}  // namespace tailback::tools
