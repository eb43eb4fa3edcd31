// SPDX-License-Identifier: Apache-2.0
// Help and version of the command as a whole.
#pragma once
#include <cstdio>
#include <span>
#include <string>

#include "tools/command.h"

namespace tailback::tools {

void print_help(std::span<const Subcommand> commands, std::FILE* out);
int print_version();
// The message for a name that is no command, with the nearest one where there is one.
std::string unknown_command(std::span<const Subcommand> commands, const std::string& name);

}  // namespace tailback::tools
