// SPDX-License-Identifier: Apache-2.0
// A stack as few lines: recursion collapsed, the middle of deep stacks elided, inlined functions marked, columns aligned.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "analyzers/finding.h"

namespace tailback::tools {

// `frames` innermost first, as in StackEvidence. At most `most` lines of at most `width` columns.
std::vector<std::string> stack_lines(const std::vector<analyzers::Frame>& frames, std::size_t width, bool unicode,
                                     std::size_t most = 10);

}  // namespace tailback::tools
