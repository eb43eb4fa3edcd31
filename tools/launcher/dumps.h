// SPDX-License-Identifier: Apache-2.0
// The dumps that a recording left: the root process's and its children's.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tools/launcher/output_pattern.h"

namespace tailback::tools {

struct DumpSummary {
  std::string path;
  std::uint64_t pid = 0;
  std::uint64_t root_pid = 0;  // as the launcher told the agent; 0 unknown
  std::uint64_t cpu_ns = 0;    // of all threads, as far as counted
  std::uint64_t started_realtime_ns = 0, started_mono_ns = 0;
  std::uint64_t used_bytes = 0;
  std::uint64_t max_bytes = 0;  // limit of its size in force
  bool ended_by_exec = false;   // the process went on as another program
  bool ended = false;           // the recording was closed in order
  bool still_running = false;   // not closed and the process is there
};

// Header and a few figures of a dump; false when the file is none.
bool summarize_dump(const std::string& path, DumpSummary& summary);

// Deadlocks that the agent counted in it so far; 0 when the file is no dump.
std::uint32_t deadlocks_in(const std::string& path);

// The dumps of the process tree of `root_pid` started since `since_realtime_ns`. The one to judge comes first: the root's,
// unless the root hardly did anything itself (a shell, a wrapper); then the busiest one's.
std::vector<DumpSummary> find_dumps(const OutputPattern& pattern, std::uint64_t root_pid, std::uint64_t since_realtime_ns);

// For --force: removes the dump a process would be refused, and older ones beside it that the pattern's suffixes name.
void remove_old_dumps(const OutputPattern& pattern, const std::string& program, long pid);

}  // namespace tailback::tools
