// SPDX-License-Identifier: Apache-2.0
// The text report's section on locks: which were waited for, for how long, and who held them. Nothing when hardly anybody waited.
#pragma once
#include "analyzers/report.h"
#include "tools/reports/page.h"

namespace tailback::tools {

void lock_section(Page& page, const analyzers::Report& report);

}  // namespace tailback::tools
