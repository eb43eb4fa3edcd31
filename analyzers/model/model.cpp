// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/model.h"

#include <future>

#include "analyzers/model/interpreter_lock.h"

namespace tailback::analyzers {

// In the order in which they need each other.
void build_views(Model& model) {
  const Recording& recording = model.recording;
  const Symbols& symbols = *model.symbols;
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
  model.allocator_time = AllocatorTime::build(recording, symbols, model.cpu);
}

}  // namespace tailback::analyzers
