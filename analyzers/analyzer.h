// SPDX-License-Identifier: Apache-2.0
// The interface of a rule: a stateless function from the model to findings, or "not applicable, because ...".
// Rules never call each other; what two of them compute belongs to analyzers/model. Registered in registry.def.
#pragma once
#include <string>
#include <vector>

#include "analyzers/finding.h"
#include "analyzers/model/model.h"

namespace tailback::analyzers {

struct RuleResult {
  std::vector<Finding> findings;
  std::string not_applicable;  // not empty: why the rule could not look
  std::string fine;            // without findings: what was looked at, with the figure ("busiest function 4 % of CPU time")

  static RuleResult cannot(std::string because) { return {{}, std::move(because), {}}; }
};

using Rule = RuleResult (*)(const Model& model);

struct RuleInfo {
  const char* id;
  Category category;
  const char* says;  // one line for the documentation and --help
  Rule evaluate;
};

// All rules, in the order of registry.def.
const std::vector<RuleInfo>& registry();

}  // namespace tailback::analyzers
