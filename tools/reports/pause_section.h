// SPDX-License-Identifier: Apache-2.0
// The text report's section on pauses: by cause, and the longest of them in order of time. Nothing when there was none.
#pragma once
#include "analyzers/report.h"
#include "tools/reports/page.h"

namespace tailback::tools {

void pause_section(Page& page, const analyzers::Report& report);

}  // namespace tailback::tools
