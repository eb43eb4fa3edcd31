// SPDX-License-Identifier: Apache-2.0
// The text report's section on thread pools: how busy each is, with how many tasks, and how long these wait. Nothing without pools.
#pragma once
#include "analyzers/report.h"
#include "tools/reports/page.h"

namespace tailback::tools {

void pool_section(Page& page, const analyzers::Report& report);

}  // namespace tailback::tools
