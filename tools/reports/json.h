// SPDX-License-Identifier: Apache-2.0
// The report as tailback.report/1 (docs/report.schema.json): every top-level key present, broken UTF-8 replaced.
#pragma once
#include <string>

#include "analyzers/report.h"

namespace tailback::tools {

std::string json_report(const analyzers::Report& report);

}  // namespace tailback::tools
