// SPDX-License-Identifier: Apache-2.0
// Folded stacks: one line for each distinct stack, root first, frames joined by ';', a blank, a whole number.
#pragma once
#include <string>

#include "tools/exports/stack_samples.h"

namespace tailback::tools {

struct FoldedOptions {
  std::size_t value = 1;       // which value of the kind
  std::uint64_t divisor = 1;   // numbers are rounded to units of so much
  bool by_thread = false;      // the thread's name as the first frame
};

std::string folded_stacks(const analyzers::Model& model, const ProfileKind& kind, const FoldedOptions& options);

}  // namespace tailback::tools
