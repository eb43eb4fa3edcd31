// SPDX-License-Identifier: Apache-2.0
// The table of rules, from registry.def: explicit, so that no order of initialisation decides what runs.
#include "analyzers/analyzer.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {

const std::vector<RuleInfo>& registry() {
  static const std::vector<RuleInfo> rules = {
#define RULE(id, function, category, says) {id, Category::category, says, function},
#include "analyzers/registry.def"
#undef RULE
  };
  return rules;
}

}  // namespace tailback::analyzers
