// SPDX-License-Identifier: Apache-2.0
// Which functions CPU time is to be blamed on, for a part of the model's profile. Judges nothing.
#pragma once
#include <span>
#include <vector>

#include "analyzers/model/model.h"

namespace tailback::analyzers {

// `stacks`: of the model's profile. Heaviest first.
std::vector<CpuSite> sites_of(const Model& model, std::span<const StackWeight> stacks);

}  // namespace tailback::analyzers
