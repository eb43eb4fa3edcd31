// SPDX-License-Identifier: Apache-2.0
// tailback record: runs a program with libtailback.so preloaded and reports on it. The program must not notice: its
// streams, signals and exit status are its own.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "tools/command.h"
#include "tools/elf_check/program_check.h"
#include "tools/launcher/aftermath.h"
#include "tools/launcher/child.h"
#include "tools/launcher/deadlock_watch.h"
#include "tools/launcher/dumps.h"
#include "tools/launcher/library.h"
#include "tools/launcher/output_pattern.h"
#include "tools/messages.h"
#include "tools/options/command_line.h"
#include "tools/options/recording_options.h"
#include "tools/options/rule_thresholds.h"

namespace tailback::tools {

namespace {

// The program to start, or the failure that a shell would report for it.
ProgramCheck checked_program(const Arguments& command) {
  if (command.empty())
    throw Failure(
        kWrongUsage,
        "record needs a program; for instance: tailback record -- xz -k FILE ('tailback record --help' lists the options)");
  ProgramCheck program = check_program(command[0]);
  if (program.found.empty())
    throw Failure(kNotFound, fmt::format("{}: no such program; check the spelling, or give its path", command[0]));
  if (program.not_executable)
    throw Failure(kNotExecutable, fmt::format("{} cannot be executed: {}; chmod +x makes a file executable", program.found,
                                              std::strerror(program.not_executable)));
  return program;
}

Library needed_library() {
  Library library = find_library();
  if (library.path.empty()) {
    std::string folders;
    for (const std::string& path : library.looked_at) folders += "\n          " + path;
    throw Failure(
        kNotStarted,
        "libtailback.so is not there; install it, or name it by TAILBACK_LIBRARY=/path/to/libtailback.so; looked at:" + folders);
  }
  if (library.preload_name.find_first_of(" :") != std::string::npos)
    throw Failure(kNotStarted, fmt::format("LD_PRELOAD cannot name {}: its path holds a blank or a colon; install it elsewhere, "
                                           "or name a copy by TAILBACK_LIBRARY",
                                           library.path));
  return library;
}

// AddressSanitizer's runtime stops a program in which another library comes first; it works all the same.
std::string without_link_order_check(const char* options) {
  return (options && *options ? std::string(options) + ":" : "") + "verify_asan_link_order=0";
}

ChildRequest child_request(const Arguments& command, const ProgramCheck& program, const Library& library,
                           const RecordingOptions& options, const OutputPattern& output, bool force) {
  ChildRequest request;
  request.path = program.found;
  request.arguments = command;
  request.environment = options.environment();
  request.environment.emplace_back("TAILBACK_OUTPUT", output.text());
  if (options.quiet()) request.environment.emplace_back("TAILBACK_QUIET", "1");
  if (!program.refuses_preload)
    request.environment.emplace_back("LD_PRELOAD", prepended_preload(library.preload_name, std::getenv("LD_PRELOAD")));
  if (program.elf.needs_libasan) request.environment.emplace_back("ASAN_OPTIONS", without_link_order_check(std::getenv("ASAN_OPTIONS")));
  if (force) request.before_exec = [&output, name = program.found](pid_t pid) { remove_old_dumps(output, name, pid); };
  return request;
}

void print_hints(const ProgramCheck& program) {
  for (const Remark& remark : program.remarks) message(remark.what + "; " + remark.remedy);
}

}  // namespace

int cmd_record(const Arguments& arguments) {
  CLI::App app(
      "Run PROGRAM, record it until it ends, print ranked suggestions. Its streams, signals and exit status are its own.",
      "record");
  set_usage(app, "[OPTIONS] [--] PROGRAM [ARG...]");
  RecordingOptions options;
  bool force = false, strict = false;
  options.declare(app);
  app.add_flag("--force", force, "replace an existing dump of the same name instead of taking the next free suffix");
  app.add_flag("--strict", strict, "do not start a program of which nothing would be recorded");
  const auto [own, command] = split_target_command(app, arguments);
  if (const auto status = parse(app, own)) return *status;
  options.resolve();
  const ProgramCheck program = checked_program(command);
  if (strict && program.drops_preload)
    throw Failure(kNotStarted, program.remarks.front().what + "; " + program.remarks.front().remedy);
  const Library library = needed_library();
  const std::string* pattern = options.find("output");
  const OutputPattern output(pattern ? *pattern : "");
  output.check_folder();

  const analyzers::Thresholds thresholds = rule_thresholds(options.config());
  if (!options.quiet()) print_hints(program);
  ChildRequest request = child_request(command, program, library, options, output, force);
  DeadlockWatch deadlocks(output);
  request.meanwhile = [&](pid_t pid) { deadlocks.look(pid); };
  const ChildResult child = run_child(request);
  if (child.exec_error)
    throw Failure(child.exec_error == ENOENT ? kNotFound : kNotExecutable,
                  fmt::format("{} cannot be executed: {}; is the interpreter that it names installed?", program.found,
                              std::strerror(child.exec_error)));
  complete_and_report({output, child, program, thresholds, options.quiet()});
  return child.shell_status();
}

}  // namespace tailback::tools
