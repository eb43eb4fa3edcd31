// SPDX-License-Identifier: Apache-2.0
#include "tools/live/agent_look.h"

#include "tools/live/agent_channel.h"

namespace tailback::tools {

std::optional<analyzers::ProcessLook> look_through_agent(pid_t pid, const analyzers::AnalysisOptions& options) {
  std::optional<AgentChannel> agent = AgentChannel::to(pid);
  if (!agent || agent->ended()) return std::nullopt;
  const std::optional<std::uint32_t> number = agent->ask(trace::RequestKind::look);
  if (!number) return std::nullopt;
  const auto model = analyzers::load_model({agent->dump()}, options);
  if (model->recording.look.request != *number) return std::nullopt;  // there was no room for it
  analyzers::ProcessLook look = analyzers::process_look(*model);
  look.pid = pid;  // as it is known here
  return look;
}

}  // namespace tailback::tools
