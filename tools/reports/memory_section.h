// SPDX-License-Identifier: Apache-2.0
// The text report's section on the heap: how much lived, how much was allocated, by whom, and what that cost. Nothing when it was not
// recorded or hardly matters.
#pragma once
#include "analyzers/report.h"
#include "tools/reports/page.h"

namespace tailback::tools {

void memory_section(Page& page, const analyzers::Report& report);

}  // namespace tailback::tools
