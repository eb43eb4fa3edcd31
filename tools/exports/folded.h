// SPDX-License-Identifier: Apache-2.0
// Folded stacks: one line for each distinct stack, root first, frames joined by ';', a blank, a whole number.
#pragma once
#include <string>

#include "analyzers/model/model.h"

namespace tailback::tools {

enum class FoldedUnit { samples, microseconds };

struct FoldedOptions {
  FoldedUnit unit = FoldedUnit::microseconds;
  bool by_thread = false;  // the thread's name as the first frame
};

std::string folded_stacks(const analyzers::Model& model, const FoldedOptions& options);

}  // namespace tailback::tools
