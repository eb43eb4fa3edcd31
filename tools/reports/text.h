// SPDX-License-Identifier: Apache-2.0
// The report for a person at a terminal: what matters first, one screen where possible. Formats only; judges nothing.
#pragma once
#include <cstddef>
#include <string>

#include "analyzers/report.h"
#include "tools/terminal.h"

namespace tailback::tools {

struct TextOptions {
  Terminal terminal;
  std::size_t top = 10;  // suggestions shown
  bool brief = false;    // after a recording: without the rules that could not look
};

std::string text_report(const analyzers::Report& report, const TextOptions& options);

}  // namespace tailback::tools
