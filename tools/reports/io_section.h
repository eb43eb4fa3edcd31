// SPDX-License-Identifier: Apache-2.0
// The text report's section on waiting and I/O: what threads waited for, and on which files and peers. Nothing when calls were
// not recorded or hardly took time.
#pragma once
#include "analyzers/report.h"
#include "tools/reports/page.h"

namespace tailback::tools {

void io_section(Page& page, const analyzers::Report& report);

}  // namespace tailback::tools
