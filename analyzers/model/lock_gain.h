// SPDX-License-Identifier: Apache-2.0
// What it is worth when threads wait less for a lock. Never the sum of the waits: threads that no longer wait must still do their work on
// the CPUs that there are. Formula: docs/rules.md.
#pragma once
#include <string>

#include "analyzers/finding.h"
#include "analyzers/model/model.h"

namespace tailback::analyzers {

// `part`: of the waits for the lock that a repair removes. `why`: what is removed and how that is known.
Gain gain_of_less_waiting(const Model& model, const Lock& lock, double part, const std::string& why);

}  // namespace tailback::analyzers
