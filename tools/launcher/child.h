// SPDX-License-Identifier: Apache-2.0
// Runs a program as if the launcher were not there: same process group, terminal, descriptors, mask and dispositions;
// signals sent to the launcher reach the program; what the terminal sends to both is left to the program alone.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace tailback::tools {

struct ChildRequest {
  std::string path;                                              // the file to execute
  std::vector<std::string> arguments;                            // argv, the name first
  std::vector<std::pair<std::string, std::string>> environment;  // set on top of ours
  std::function<void(pid_t)> before_exec;                        // runs in the child, which shares our memory, with its own pid; may be empty
  std::function<void(pid_t)> meanwhile;                          // now and then while it runs; may be empty
};

struct ChildStop {  // CLOCK_MONOTONIC
  std::uint64_t begin_ns = 0, end_ns = 0;
};

struct ChildResult {
  pid_t pid = 0;
  int exec_error = 0;   // errno of the failed exec; nothing else is filled in then
  bool exited = false;  // else killed by a signal
  int status = 0;       // exit status or signal number
  std::uint64_t wall_ns = 0, user_ns = 0, system_ns = 0;
  std::uint64_t started_realtime_ns = 0;
  std::vector<ChildStop> stops;  // by SIGSTOP and the like, as far as they were seen; the first thousand

  int shell_status() const { return exited ? status : 128 + status; }
};

// Throws Failure when no process can be made.
ChildResult run_child(const ChildRequest& request);

}  // namespace tailback::tools
