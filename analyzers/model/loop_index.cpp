// SPDX-License-Identifier: Apache-2.0
// Finds loops once for each function.
#include "analyzers/model/loop_index.h"

namespace tailback::analyzers {

const CodeLoop* LoopIndex::loop_at(StackId node) {
  const ProgramCode::Function* function = code_.function_at(node);
  if (!function) return nullptr;
  auto [entry, fresh] = loops_.try_emplace(function->start);
  if (fresh) entry->second = find_loops(function->bytes, function->start);
  const std::uint64_t address = recording_.nodes[node].address;
  for (const CodeLoop& loop : entry->second)  // shortest first
    if (address >= loop.begin && address < loop.end) return &loop;
  return nullptr;
}

}  // namespace tailback::analyzers
