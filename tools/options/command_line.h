// SPDX-License-Identifier: Apache-2.0
// Parsing of a subcommand's arguments: CLI11 underneath, our messages and exit statuses outside.
#pragma once
#include <optional>

#include "tools/command.h"

namespace CLI {
class App;
}

namespace tailback::tools {

// Splits `arguments` into the command's own options and what follows them: everything behind `--`, or from the first
// argument that is neither an option nor an option's value.
std::pair<Arguments, Arguments> split_target_command(const CLI::App& app, const Arguments& arguments);

// The usage line of --help: "Usage: tailback NAME " and `text`.
void set_usage(CLI::App& app, const std::string& text);

// Parses. Returns an exit status when there is nothing left to do (--help was printed); throws Failure on wrong usage.
std::optional<int> parse(CLI::App& app, const Arguments& arguments);

}  // namespace tailback::tools
