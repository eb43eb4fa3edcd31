// SPDX-License-Identifier: Apache-2.0
// What rules look at: the recording, its symbols and the views that more than one rule uses, each built once.
#pragma once
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "analyzers/model/allocator_time.h"
#include "analyzers/model/attribution.h"
#include "analyzers/model/cpu_profile.h"
#include "analyzers/model/event_loops.h"
#include "analyzers/model/heap.h"
#include "analyzers/model/locks.h"
#include "analyzers/model/pools.h"
#include "analyzers/model/pauses.h"
#include "analyzers/model/recording.h"
#include "analyzers/model/spinning.h"
#include "analyzers/model/symbols.h"
#include "analyzers/model/thresholds.h"
#include "analyzers/model/timeline.h"
#include "analyzers/model/waits.h"
#include "analyzers/model/what_if.h"

namespace tailback::analyzers {

struct Model {
  Recording recording;
  Thresholds thresholds;  // of rules
  std::set<std::string> system_libraries;  // modules of the distribution that a program from elsewhere uses, base names
  std::unique_ptr<Symbols> symbols;
  CpuProfile cpu;      // CPU time by stack, function, line and thread group; sums equal the CPU clocks
  std::unique_ptr<const Attribution> attribution;  // who is responsible for the stacks of `cpu`
  Spinning spinning;   // which of them wait actively
  Timeline timeline;   // each thread second by second: running, runnable, else; and the machine beside it
  Waits waits;         // each thread's time while it does not run; calls by endpoint and place
  EventLoops event_loops;  // how long their turns take, and why
  Heap heap;           // allocations by site
  Locks locks;         // who waits for whom
  Pools pools;         // threads that wait for work together
  Pauses pauses;       // stretches without progress, by cause
  WhatIfReplay what_if;  // the detail windows, for replaying them with a change
  AllocatorTime allocator_time;  // CPU time inside the allocator and beside it, by function
  std::vector<Recording> others;  // further processes of the same recording (children), for totals
};

// Builds all views of a model that has its recording, thresholds and symbols.
void build_views(Model& model);

}  // namespace tailback::analyzers
