// SPDX-License-Identifier: Apache-2.0
// tailback stop: ends the recording of a process that goes on.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "tools/command.h"
#include "tools/live/agent_channel.h"
#include "tools/messages.h"
#include "tools/options/command_line.h"

namespace tailback::tools {

int cmd_stop(const Arguments& arguments) {
  CLI::App app("End the recording of a process; the process goes on, its dump is complete", "stop");
  set_usage(app, "PID");
  std::string process;
  app.add_option("PID", process, "the process")->required();
  if (const auto status = parse(app, arguments)) return *status;
  const pid_t pid = process_id(process);
  AgentChannel agent = recorded(pid);
  const std::string dump = shell_quoted(agent.dump());
  if (!agent.ended()) agent.ask(trace::RequestKind::look);  // where threads sleep, for the report
  if (agent.ended()) {
    message(fmt::format("the recording of process {} is over already; tailback report {}", pid, dump));
  } else if (agent.ask(trace::RequestKind::stop) || agent.ended()) {
    message(fmt::format("the recording of process {} has ended; tailback report {}", pid, dump));
  } else {
    message(fmt::format("process {} sleeps: its recording ends as soon as it runs again; what there is until now: tailback report {}", pid, dump));
  }
  return kDone;
}

}  // namespace tailback::tools
