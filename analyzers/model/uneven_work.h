// SPDX-License-Identifier: Apache-2.0
// Threads that share one piece of work and finish far apart, so that the last one decides when it is done: once, or round after round, where
// the others wait for it each time. Threads of a pool that merely do different amounts are not meant: they must begin together and the
// others must have stopped, or wait for the one.
#pragma once
#include <vector>

#include "analyzers/model/model.h"
#include "analyzers/model/thread_load.h"

namespace tailback::analyzers {

struct UnevenWork {
  double gain = 0, lost = 0;  // part of wall time, seconds
  double longest = 0, mean = 0;  // CPU seconds of a thread; of the longest phase, as what follows
  double others_finish = 0;   // mean, seconds after the phase's begin
  double length = 0;          // seconds
  std::size_t threads = 0, phases = 0;  // phases 0: the work is even
  ThreadId last = 0;
  bool in_rounds = false;
  double spun = 0;                        // seconds in which the others waited actively
  std::vector<StackWeight> spun_stacks;
};

// `part_of_main` of its time the main thread is one of the group (main_in_group.h).
UnevenWork uneven_work(const Model& model, const ThreadGroup& group, const std::vector<ThreadLoad>& loads, double part_of_main);

}  // namespace tailback::analyzers
