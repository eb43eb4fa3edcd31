// SPDX-License-Identifier: Apache-2.0
// Which frame of a stack a person can change.
#pragma once
#include "analyzers/finding.h"
#include "analyzers/model/model.h"

namespace tailback::analyzers {

// Innermost frame of a stack that is the program's own code: no runtime's, and no library's that the distribution made, as far as the stack
// holds other; else its innermost.
Frame own_frame(const Model& model, StackId stack);
// All frames that are the program's own code, innermost first.
std::vector<Frame> own_frames(const Model& model, StackId stack);

}  // namespace tailback::analyzers
