// SPDX-License-Identifier: Apache-2.0
// What each thread of a live process does, for other programs: schema tailback.stacks/1.
#pragma once
#include <string>

#include "analyzers/process_look.h"

namespace tailback::tools {

std::string look_json(const analyzers::ProcessLook& look);

}  // namespace tailback::tools
