// SPDX-License-Identifier: Apache-2.0
#include "analyzers/rules/cpu_places.h"

#include "analyzers/model/loop_index.h"

namespace tailback::analyzers {

std::vector<CpuSite> sites_of(const Model& model, std::span<const StackWeight> stacks) {
  LoopIndex loops(model.recording);
  return cpu_sites(stacks, *model.symbols, *model.attribution, loops);
}

}  // namespace tailback::analyzers
