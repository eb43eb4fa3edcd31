// SPDX-License-Identifier: Apache-2.0
// tailback stacks: what each thread of a live process does, what it waits for and who has that. Through the agent where one is, which
// disturbs nothing; else by ptrace.
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "tools/command.h"
#include "tools/live/agent_channel.h"
#include "tools/live/agent_look.h"
#include "tools/live/file_lock_owners.h"
#include "tools/live/ptrace_look.h"
#include "tools/options/command_line.h"
#include "tools/output_file.h"
#include "tools/reports/look_json.h"
#include "tools/reports/look_text.h"

namespace tailback::tools {

int cmd_stacks(const Arguments& arguments) {
  CLI::App app("Print the stack of each thread of a process, what it waits for, and who holds that", "stacks");
  set_usage(app, "[OPTIONS] PID");
  std::string process, json;
  std::vector<std::string> debug_directories;
  bool whole = false, force = false, debuginfod = false;
  app.add_option("PID", process, "the process, recorded or not")->required();
  app.add_option("--json", json, "write the result as JSON ('-' is stdout)")->option_text("FILE");
  app.add_flag("--full", whole, "all frames of deep stacks");
  app.add_option("--debug-dir", debug_directories, "where to look for debug files besides /usr/lib/debug")->option_text("DIR")->allow_extra_args(false);
  app.add_flag("--debuginfod", debuginfod, "fetch debug files from $DEBUGINFOD_URLS");
  app.add_flag("--force", force, "overwrite an existing file");
  if (const auto status = parse(app, arguments)) return *status;
  const pid_t pid = process_id(process);
  analyzers::AnalysisOptions options;
  options.debug_directories = debug_directories;
  options.use_debuginfod = debuginfod;
  std::optional<analyzers::ProcessLook> look = look_through_agent(pid, options);
  if (!look) look = look_by_ptrace(pid, {debug_directories, debuginfod});
  name_file_lock_owners(*look);
  if (!json.empty()) write_result(json, look_json(*look), force);
  if (json != "-") write_result("-", look_text(*look, terminal_of(STDOUT_FILENO), whole), false);
  return kDone;
}

}  // namespace tailback::tools
