// SPDX-License-Identifier: Apache-2.0
// tailback dump: a report on a process that is being recorded and goes on.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "tools/command.h"
#include "tools/live/agent_channel.h"
#include "tools/messages.h"
#include "tools/options/command_line.h"
#include "tools/report_options.h"

namespace tailback::tools {

int cmd_dump(const Arguments& arguments) {
  CLI::App app("Have a recorded process write what it knows, and report on it; the process and its recording go on", "dump");
  set_usage(app, "[OPTIONS] PID");
  std::string process;
  ReportOptions options;
  app.add_option("PID", process, "the process")->required();
  options.declare(app);
  if (const auto status = parse(app, arguments)) return *status;
  options.check();
  const pid_t pid = process_id(process);
  AgentChannel agent = recorded(pid);
  const bool answers = agent.ended() || (agent.ask(trace::RequestKind::flush) && agent.ask(trace::RequestKind::look));  // the latter: where sleeping threads are
  if (!answers && !options.quiet)
    message(fmt::format("process {} did not answer: its thread sleeps; what it wrote up to its last run is what follows", pid));
  const int status = report_on({agent.dump()}, options);
  if (!options.quiet) message(fmt::format("the recording goes on in {}; to end it: tailback stop {}", shell_quoted(agent.dump()), pid));
  return status;
}

}  // namespace tailback::tools
