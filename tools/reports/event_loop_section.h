// SPDX-License-Identifier: Apache-2.0
// The table of event loops in the text report.
#pragma once
#include "analyzers/report.h"
#include "tools/reports/page.h"

namespace tailback::tools {

// Nothing where no loop was ever busy for longer than a moment.
void event_loop_section(Page& page, const analyzers::Report& report);

}  // namespace tailback::tools
