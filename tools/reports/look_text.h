// SPDX-License-Identifier: Apache-2.0
// What each thread of a live process does, for a person at a terminal: rings of waiting threads first, like stacks once.
#pragma once
#include <string>

#include "analyzers/process_look.h"
#include "tools/terminal.h"

namespace tailback::tools {

// `whole`: all frames of each stack.
std::string look_text(const analyzers::ProcessLook& look, const Terminal& terminal, bool whole);

}  // namespace tailback::tools
