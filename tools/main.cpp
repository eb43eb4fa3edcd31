// SPDX-License-Identifier: Apache-2.0
// The tailback command: a table of subcommands and the one place where failures become messages and exit statuses.
#include <cstdio>
#include <string_view>

#include "tools/command.h"
#include "tools/crash_report.h"
#include "tools/help.h"
#include "tools/messages.h"
#include "tools/progress.h"

namespace tailback::tools {

namespace {

constexpr Subcommand kSubcommands[] = {
    {"record", "run", "run a program, record it, print ranked suggestions", cmd_record},
    {"report", nullptr, "analyse dumps: suggestions as text or JSON, or the raw records", cmd_report},
    {"export", nullptr, "write a dump as folded stacks or pprof", cmd_export},
    {"stacks", nullptr, "what each thread of a live process does, and who holds up whom", cmd_stacks},
    {"stop", nullptr, "end the recording of a process that goes on", cmd_stop},
    {"dump", nullptr, "report on a recorded process while it goes on", cmd_dump},
    {"doctor", nullptr, "what this machine and a program allow, and what will be missing", cmd_doctor},
};

int run(const Arguments& arguments) {
  const std::string_view name = arguments.empty() ? "" : std::string_view(arguments[0]);
  if (name == "--version" || name == "-V" || name == "version") return print_version();
  if (name.empty()) return print_help(kSubcommands, stderr), kWrongUsage;
  if (name == "--help" || name == "-h" || (name == "help" && arguments.size() == 1))
    return print_help(kSubcommands, stdout), kDone;
  const bool help_about = name == "help";
  const std::string& wanted = arguments[help_about ? 1 : 0];
  const Arguments rest = help_about ? Arguments{"--help"} : Arguments(arguments.begin() + 1, arguments.end());
  for (const Subcommand& command : kSubcommands)
    if (wanted == command.name || (command.alias && wanted == command.alias)) return command.run(rest);
  throw Failure(kWrongUsage, unknown_command(kSubcommands, wanted));
}

}  // namespace

}  // namespace tailback::tools

int main(int argc, char** argv) {
  using namespace tailback::tools;
  install_crash_report();
  try {
    return run(Arguments(argv + (argc > 0 ? 1 : 0), argv + argc));
  } catch (const std::exception& error) {
    end_progress();
    message(error.what());
    const auto* failure = dynamic_cast<const Failure*>(&error);
    return failure ? failure->status() : static_cast<int>(kFailed);
  }
}
