// SPDX-License-Identifier: Apache-2.0
#include "tools/progress.h"

#include <unistd.h>

#include <cstdio>

#include "tools/reports/format.h"
#include "tools/terminal.h"

namespace tailback::tools {

namespace {
bool shown = false;
}

void progress_line(const std::string& text) {
  if (!::isatty(STDERR_FILENO)) return;
  const Terminal terminal = terminal_of(STDERR_FILENO);
  std::fprintf(stderr, "\r\x1b[K%s", shortened(printable(text), terminal.width - 1, terminal.unicode).c_str());
  std::fflush(stderr);
  shown = true;
}

void end_progress() {
  if (shown) std::fputs("\r\x1b[K", stderr);
  shown = false;
}

}  // namespace tailback::tools
