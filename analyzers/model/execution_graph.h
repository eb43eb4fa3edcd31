// SPDX-License-Identifier: Apache-2.0
// What the threads did inside the detail windows: stretches in which they ran, waits, and the edges from wakes to the waits that these
// ended. A wait ends by the last wake of the same object by another thread before its end. CPU time is what fair shares of the CPUs give
// to those that ran at a time, so that a replay of an unchanged graph takes as long as the window did.
// Not known: calls below 20 us, locks taken while nobody waited, waits that began before a window and end long after it.
#pragma once
#include <cstdint>
#include <vector>

#include "analyzers/model/recording.h"

namespace tailback::analyzers {

inline constexpr std::uint32_t kNoEdge = ~0u;

struct GraphStep {  // seconds throughout
  enum class Kind : std::uint8_t { run, wait, wake };
  Kind kind = Kind::run;
  trace::Call call = trace::Call::none;  // of waits and wakes; a wait of none: no call is known that it was spent in
  std::uint64_t object = 0;              // as in CallKey
  StackId stack = 0;
  double begin = 0, end = 0;             // since the start of the recording, within the window
  double cpu = 0;                        // of runs
  double latency = 0;                    // of a wait with an edge: from the wake to its end
  std::uint32_t edge = kNoEdge;          // of a wait: the wake that ended it; of a wake: its own number
  std::uint64_t held = 0;                // lock held meanwhile while others waited for it
};

struct GraphThread {
  ThreadId thread = 0;
  std::uint32_t kind = 0;                // threads of one kind do the same sort of work
  std::vector<GraphStep> steps;          // from the window's begin to its end
};

struct WindowGraph {
  double begin = 0, end = 0;
  std::vector<GraphThread> threads;
  std::vector<std::uint32_t> waiters;    // of each edge
  std::size_t steps = 0;
  double seconds() const { return end - begin; }
};

struct GraphOptions {
  double cpus = 1;
  std::size_t most_steps = 150'000;      // of all windows together; beyond, some windows in equal distances
};

// Those whose events were kept and whose CPU time agrees with the samples of the window.
std::vector<WindowGraph> execution_graphs(const Recording& recording, const GraphOptions& options);

}  // namespace tailback::analyzers
