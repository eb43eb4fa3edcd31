// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/model.h"

#include <algorithm>
#include <array>
#include <future>
#include <string_view>

#include "analyzers/model/interpreter_lock.h"

namespace tailback::analyzers {

namespace {

bool is_of_system(std::string_view path) {
  static constexpr std::array<std::string_view, 6> kFolders = {"/usr/lib", "/lib", "/usr/bin/", "/bin/", "/usr/sbin/", "/sbin/"};
  return std::any_of(kFolders.begin(), kFolders.end(), [&](std::string_view folder) { return path.starts_with(folder); });
}

// Nothing for the distribution's own programs: their libraries are built with them.
std::set<std::string> system_libraries(const Recording& recording) {
  std::set<std::string> names;
  if (is_of_system(recording.session.program)) return names;
  for (const ModuleRow& module : recording.modules)
    if (is_of_system(module.path)) names.insert(module.path.substr(module.path.rfind('/') + 1));
  return names;
}

}  // namespace

// In the order in which they need each other.
void build_views(Model& model) {
  const Recording& recording = model.recording;
  const Symbols& symbols = *model.symbols;
  model.system_libraries = system_libraries(recording);
  auto timeline = std::async(std::launch::async, [&] { return Timeline::build(recording); });
  model.cpu = CpuProfile::build(recording, symbols);
  model.timeline = timeline.get();
  model.attribution = std::make_unique<const Attribution>(recording, symbols, model.cpu.stacks);
  model.spinning = find_spinning(recording, symbols, model.cpu, *model.attribution);
  model.waits = Waits::build(recording, model.timeline);
  model.event_loops = EventLoops::build(recording, symbols, model.waits);
  model.heap = Heap::build(recording);
  model.locks = Locks::build(recording);
  model.what_if = WhatIfReplay(recording, model.timeline.cpus);
  add_interpreter_lock(model);
  model.pools = Pools::build(recording, symbols, model.cpu, model.timeline, model.waits);
  model.pauses = Pauses::build(recording, symbols, model.cpu, model.timeline, model.waits);
  model.allocator_time = AllocatorTime::build(recording, symbols, model.cpu, *model.attribution);
}

}  // namespace tailback::analyzers
