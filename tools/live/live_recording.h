// SPDX-License-Identifier: Apache-2.0
// The stacks of a live process in the form that symbols are resolved from: a recording with nothing but code in it.
#pragma once
#include <map>

#include "analyzers/model/recording.h"
#include "tools/live/remote_unwind.h"

namespace tailback::tools {

class LiveRecording {
 public:
  // `file_root`: what to put before the paths of its files.
  LiveRecording(pid_t pid, const std::string& file_root, const std::vector<MappedRegion>& regions,
                const std::vector<TargetModule>& modules, const std::vector<WalkedStack>& stacks);
  const analyzers::Recording& tables() const { return tables_; }
  analyzers::StackId innermost(std::size_t stack) const { return innermost_[stack]; }  // 0: the stack is empty

 private:
  void add_session(pid_t pid);
  void add_places(const std::string& file_root, const std::vector<MappedRegion>& regions,
                  const std::vector<TargetModule>& modules);
  analyzers::StackId add_stack(const WalkedStack& stack);
  void add_code_ranges(const std::vector<WalkedStack>& stacks);
  analyzers::ModuleId module_of(std::uint64_t address) const;

  analyzers::Recording tables_;
  std::map<std::pair<analyzers::StackId, std::uint64_t>, analyzers::StackId> children_;
  std::vector<analyzers::StackId> innermost_;
};

}  // namespace tailback::tools
