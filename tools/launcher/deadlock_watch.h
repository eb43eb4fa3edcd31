// SPDX-License-Identifier: Apache-2.0
// Says a deadlock while it lasts: the agent counts those it found in the header of the dump, which this looks at now and then.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>

#include "tools/launcher/output_pattern.h"

namespace tailback::tools {

class DeadlockWatch {
 public:
  // Of dumps that come to be from now on.
  explicit DeadlockWatch(const OutputPattern& pattern);
  ~DeadlockWatch();
  DeadlockWatch(const DeadlockWatch&) = delete;
  DeadlockWatch& operator=(const DeadlockWatch&) = delete;

  // Prints what was found since the last look in the dumps of `root_pid` and its children. One small read for each dump.
  void look(pid_t root_pid);

 private:
  void find_new_dumps();

  const OutputPattern& pattern_;
  std::string folder_;
  int events_ = -1;                     // inotify(7) on the folder; -1: there is none to be had, and nothing is said until the report
  std::map<std::string, std::uint32_t> told_;  // by dump
};

}  // namespace tailback::tools
