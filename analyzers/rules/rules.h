// SPDX-License-Identifier: Apache-2.0
// Declarations of all rules, from the registry.
#pragma once
#include "analyzers/analyzer.h"

namespace tailback::analyzers {

#define RULE(id, function, category, says) RuleResult function(const Model& model);
#include "analyzers/registry.def"
#undef RULE

}  // namespace tailback::analyzers
