// SPDX-License-Identifier: Apache-2.0
// Thresholds of rules as the configuration files set them, below [rules]. Throws Failure naming file, line and remedy.
#pragma once
#include <string>

#include "analyzers/model/thresholds.h"

namespace tailback::tools {

// `named`: the file named by --config, may be empty.
analyzers::Thresholds rule_thresholds(const std::string& named);

}  // namespace tailback::tools
