// SPDX-License-Identifier: Apache-2.0
// Each thread over time in bins of one second (shorter at both ends): time running, time runnable but waiting for a CPU, the
// rest; beside it how busy the process and the machine were. Built from thread_state counters and CPU rows; where a bin
// lies between two counters the CPU rows distribute the difference.
#pragma once
#include <cstdint>
#include <vector>

#include "analyzers/model/recording.h"

namespace tailback::analyzers {

struct ThreadBin {
  float running = 0;    // seconds on a CPU
  float runnable = 0;   // seconds waiting for a CPU (0 when the machine offers no source)
  float alive = 0;      // seconds of the bin in which the thread existed
};

struct ThreadTimeline {
  ThreadId thread = 0;
  std::vector<ThreadBin> bins;  // one for each bin of the timeline
};

struct ProcessBin {
  double start = 0, length = 0;       // seconds
  double cpu = 0;                     // CPU seconds of the process by thread clocks
  double run_delay = 0;               // seconds its threads waited for a CPU
  double machine_busy = -1;           // fraction of all CPUs busy with anything, -1 unknown
  double throttled = 0;               // seconds of cgroup throttling
  unsigned alive_threads = 0;
};

class Timeline {
 public:
  static Timeline build(const Recording& recording);

  double bin_seconds = 1;
  std::vector<ProcessBin> process;
  std::vector<ThreadTimeline> threads;  // as in Recording::threads.rows
  bool has_run_delay = false;           // the machine offered a source
  double cpus = 1;                      // CPUs the process may use: affinity and cgroup quota
  double wall_seconds = 0;

  const ThreadTimeline* find(ThreadId id) const;
};

}  // namespace tailback::analyzers
