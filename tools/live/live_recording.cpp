// SPDX-License-Identifier: Apache-2.0
#include "tools/live/live_recording.h"

#include <unistd.h>

#include <algorithm>
#include <set>

namespace tailback::tools {

using analyzers::ModuleId;
using analyzers::StackId;

LiveRecording::LiveRecording(pid_t pid, const std::string& file_root, const std::vector<MappedRegion>& regions,
                             const std::vector<TargetModule>& modules, const std::vector<WalkedStack>& stacks) {
  add_session(pid);
  add_places(file_root, regions, modules);
  tables_.nodes.emplace_back();  // 0 is no stack
  for (const WalkedStack& stack : stacks) innermost_.push_back(add_stack(stack));
  add_code_ranges(stacks);
}

// Names of JIT code are in files that carry the pid, on this machine only.
void LiveRecording::add_session(pid_t pid) {
  char host[256] = {};
  ::gethostname(host, sizeof host - 1);
  tables_.strings.push_back(std::make_unique<std::string>(host));
  tables_.session.hostname = *tables_.strings.back();
  tables_.session.pid = static_cast<std::uint64_t>(pid);
}

// Module ids are places in the list, from 1.
void LiveRecording::add_places(const std::string& file_root, const std::vector<MappedRegion>& regions,
                               const std::vector<TargetModule>& modules) {
  for (const TargetModule& module : modules) {
    analyzers::ModuleRow row;
    row.id = static_cast<ModuleId>(tables_.modules.size() + 1);
    row.start = module.start, row.end = module.end, row.bias = module.bias;
    row.path = module.path.starts_with('/') ? file_root + module.path : module.path;
    row.build_id = module.build_id;
    tables_.modules.push_back(std::move(row));
  }
  for (const MappedRegion& region : regions)
    if (region.executable && module_of(region.start) == 0) tables_.mappings.push_back({region.start, region.end, region.name});
}

ModuleId LiveRecording::module_of(std::uint64_t address) const {
  const auto& rows = tables_.modules;
  const auto next = std::upper_bound(rows.begin(), rows.end(), address,
                                     [](std::uint64_t a, const analyzers::ModuleRow& row) { return a < row.start; });
  return next == rows.begin() || address >= std::prev(next)->end ? 0 : std::prev(next)->id;
}

StackId LiveRecording::add_stack(const WalkedStack& stack) {
  StackId parent = 0;
  for (auto frame = stack.frames.rbegin(); frame != stack.frames.rend(); ++frame) {
    const auto [entry, is_new] = children_.try_emplace({parent, frame->address}, static_cast<StackId>(tables_.nodes.size()));
    if (is_new) {
      analyzers::NodeRow row;
      row.address = frame->address, row.parent = parent, row.module = module_of(frame->address);
      tables_.nodes.push_back(row);
    }
    parent = entry->second;
  }
  return parent;
}

void LiveRecording::add_code_ranges(const std::vector<WalkedStack>& stacks) {
  std::set<std::pair<std::uint64_t, std::uint64_t>> ranges;
  for (const WalkedStack& stack : stacks)
    for (const WalkedFrame& frame : stack.frames)
      if (frame.code_end > frame.code_start) ranges.emplace(frame.code_start, frame.code_end);
  for (const auto& [start, end] : ranges) tables_.code_ranges.push_back({start, end - start, module_of(start)});
}

}  // namespace tailback::tools
