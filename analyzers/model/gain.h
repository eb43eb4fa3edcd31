// SPDX-License-Identifier: Apache-2.0
// What a saving of CPU time is worth: how far wall time can hang on it, with bounds. Who waits for whom only detail windows tell; without
// them the bounds are wide where more than one thread is involved, and the text says so. Formulas: docs/rules.md.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "analyzers/finding.h"
#include "analyzers/model/model.h"
#include "analyzers/model/thread_load.h"

namespace tailback::analyzers {

// Part of some CPU time that a repair removes.
struct Removable {
  double low = 0, expected = 0.5, high = 1;
  std::string why;
};

// The gain of removing that part of the CPU time of `stacks` (by StackId).
Gain gain_of_cpu_time(const Model& model, const std::vector<bool>& stacks, const Removable& part);

using ThreadSeconds = std::map<ThreadId, double>;  // of CPU time; 0: the short-lived threads
double total_of(const ThreadSeconds& seconds);
// CPU time at the stacks, scaled to each thread's clock.
ThreadSeconds cpu_seconds_at(const Model& model, const std::vector<bool>& stacks);
// The same for CPU time that is known by thread and not by stack.
Gain gain_of_cpu_seconds(const Model& model, const ThreadSeconds& seconds, const Removable& part);

// Amdahl's law (1967): the part of wall time saved when `serial` (of wall time) is spread over `cpus`.
double amdahl_saving(double serial, double cpus);

// Orders and clamps the figures to 0..1.
Gain bounded(Gain gain);

}  // namespace tailback::analyzers
