// SPDX-License-Identifier: Apache-2.0
// What the reader's terminal can show: colour, Unicode, width. Honours NO_COLOR, CLICOLOR_FORCE, TERM=dumb and COLUMNS.
#pragma once

namespace tailback::tools {

struct Terminal {
  bool colour = false;
  bool unicode = false;
  unsigned width = 80;  // columns, 40 to 100
};

Terminal terminal_of(int descriptor);

}  // namespace tailback::tools
