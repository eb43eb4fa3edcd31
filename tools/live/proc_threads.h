// SPDX-License-Identifier: Apache-2.0
// What /proc says of a process and its threads, without disturbing it.
#pragma once
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace tailback::tools {

struct ThreadStatus {
  pid_t tid = 0;
  std::string name;
  char state = 0;                            // R, S, D, T, t, Z; 0 not known
  long call = -1;                            // number of the system call that it is inside of; -1: none
  std::array<std::uint64_t, 6> arguments{};  // of the call
};

std::vector<pid_t> threads_of(pid_t pid);  // ascending; empty: no such process
ThreadStatus status_of(pid_t pid, pid_t tid);
std::string command_of(pid_t pid);
// A line of /proc/PID/status, behind its key; empty when missing.
std::string status_field(pid_t pid, const std::string& key);
// What a descriptor of the process is: its path, the peer of a TCP connection, "pipe"; empty when not known.
std::string descriptor_name(pid_t pid, std::uint64_t descriptor);

}  // namespace tailback::tools
