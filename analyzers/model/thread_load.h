// SPDX-License-Identifier: Apache-2.0
// What each listed thread wanted and got of the CPUs over the recording, and how busy that makes it. Seconds throughout.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "analyzers/model/model.h"

namespace tailback::analyzers {

struct ThreadLoad {
  ThreadId id = 0;
  double start = 0, end = 0;          // alive, within the recording
  double cpu = 0;                     // on a CPU
  double spun = 0;                    // of that, waiting actively
  double delay = 0;                   // runnable but waiting for a CPU (0 without a source)
  double last_active = 0;             // end of the last stretch in which it wanted a CPU; a bin's resolution unless it ended
  double first_active = 0;
  std::uint64_t voluntary_switches = 0, involuntary_switches = 0;
  bool ended = false, is_main = false;

  double alive() const { return end - start; }
  double demand() const { return cpu + delay; }  // time it wanted to run
  double work() const { return demand() - spun; }
};

// Listed threads in order of their id.
std::vector<ThreadLoad> thread_loads(const Model& model);

// CPU time of one thread by stack, heaviest first, as sampled.
std::vector<StackWeight> stacks_of_thread(const Model& model, ThreadId thread);

// What a person calls the thread: its name, else its number.
std::string thread_label(const Model& model, ThreadId thread);

// Fewer samples than this say nothing about where time goes.
inline constexpr std::uint64_t kFewestSamples = 20;

}  // namespace tailback::analyzers
