// SPDX-License-Identifier: Apache-2.0
// A process whose threads all wait for each other: part of the rule deadlock.
#pragma once
#include <optional>

#include "analyzers/finding.h"
#include "analyzers/model/model.h"

namespace tailback::analyzers {

// What the agent found of it, as a suspicion; nothing when there was none, when a ring of owners explains it, or when the handler of a
// signal may be what one of the threads waits for.
std::optional<Finding> standstill(const Model& model);

}  // namespace tailback::analyzers
