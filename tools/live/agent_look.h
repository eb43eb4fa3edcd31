// SPDX-License-Identifier: Apache-2.0
// What the agent inside a recorded process says of each thread: nothing is stopped, and locks are known with who has them.
#pragma once
#include <optional>

#include "analyzers/pipeline.h"
#include "analyzers/process_look.h"

namespace tailback::tools {

// nullopt: no agent there, or it does not answer (a process whose one thread sleeps, a dump that is full). Throws Failure as
// AgentChannel::to.
std::optional<analyzers::ProcessLook> look_through_agent(pid_t pid, const analyzers::AnalysisOptions& options);

}  // namespace tailback::tools
