// SPDX-License-Identifier: Apache-2.0
#include "tools/help.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace tailback::tools {

namespace {

std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

void print_help(std::span<const Subcommand> commands, std::FILE* out) {
  fmt::print(out, "tailback {}: records a running program and says what would make it faster\n\n", TAILBACK_VERSION);
  fmt::print(out, "  tailback record -- PROGRAM ARGS...    is all that is needed to begin\n\nCommands:\n");
  for (const Subcommand& command : commands)
    fmt::print(out, "  {:<10}{}{}\n", command.name, command.says, command.alias ? fmt::format(" (also: {})", command.alias) : "");
  fmt::print(out, "  {:<10}{}\n  {:<10}{}\n\n", "help", "this text, or 'tailback help COMMAND'", "version", "the version");
  fmt::print(out,
             "Exit status: 0 done, 1 could not do it, 2 wrong usage, 3 --fail-on met; record gives the program's own,\n"
             "125 when recording failed before the program began, 126 and 127 when it cannot be executed or found.\n");
}

int print_version() {
  fmt::print("tailback {}\n", TAILBACK_VERSION);
  return kDone;
}

std::string unknown_command(std::span<const Subcommand> commands, const std::string& name) {
  const Subcommand* nearest = nullptr;
  std::size_t distance = name.size() / 2 + 1;
  for (const Subcommand& command : commands)
    if (const std::size_t d = edit_distance(name, command.name); d < distance) nearest = &command, distance = d;
  const std::string hint =
      nearest ? fmt::format("did you mean 'tailback {}'?", nearest->name) : "'tailback help' lists the commands";
  return fmt::format("'{}' is no command of this version; {}", name, hint);
}

}  // namespace tailback::tools
