// SPDX-License-Identifier: Apache-2.0
// Who allocated: the innermost frame of the program's own code that is no mere name for malloc. Pure.
#pragma once
#include <vector>

#include "analyzers/finding.h"

namespace tailback::analyzers {

// Passed over is what stands between the allocator and the program: operator new, containers, the program's own names for malloc.
// Without any, the innermost name for malloc, else the innermost frame.
Frame allocating_frame(const std::vector<Frame>& frames);

}  // namespace tailback::analyzers
