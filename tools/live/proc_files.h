// SPDX-License-Identifier: Apache-2.0
// What /proc says of a live process and its threads. Reads only; whatever is gone or not readable comes back empty.
#pragma once
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tailback::tools {

std::string file_text(const std::string& path);
std::string link_target(const std::string& path);
std::string status_field(const std::string& status, const std::string& name);  // "State" of /proc/PID/status: "S (sleeping)"

// /proc/PID/task/TID. Files of the whole process are there too, and still are when its first thread has ended before the others.
std::string task_folder(pid_t pid, pid_t tid);
std::vector<pid_t> task_ids(pid_t pid);  // ascending, the first thread first
std::string command_of(pid_t pid);       // arguments separated by blanks, or "[name]"

struct SystemCall {
  long number = -1;
  std::array<std::uint64_t, 6> arguments{};
};

struct TaskFacts {
  pid_t tid = 0;
  pid_t tid_inside = 0;  // its number in its own pid namespace: what the words of locks hold
  std::string name;
  char state = 0;
  std::optional<SystemCall> call;  // that it is blocked in
};
TaskFacts read_task(pid_t pid, pid_t tid);

struct MappedRegion {
  std::uint64_t start = 0, end = 0, offset = 0;
  bool readable = false, executable = false;
  std::string name;  // path, "[stack]", ...; empty: anonymous
};
std::vector<MappedRegion> read_regions(const std::string& task_folder);  // ascending
const MappedRegion* region_at(const std::vector<MappedRegion>& regions, std::uint64_t address);

}  // namespace tailback::tools
