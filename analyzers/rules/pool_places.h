// SPDX-License-Identifier: Apache-2.0
// How rules about thread pools judge what keeps a pool busy, and speak of pools alike.
#pragma once
#include <string>
#include <vector>

#include "analyzers/model/pool_queue.h"
#include "analyzers/rules/wording.h"

namespace tailback::analyzers {

enum class PoolTrouble {
  none,       // it is not busy, or not for long
  uneven,     // each thread has a queue of its own, and most of the work goes to one of them
  own_tasks,  // its tasks wait for tasks of the same pool
  few_tasks,  // a few of the tasks wait for long, and keep the others from running
  locks,      // its tasks wait for a lock, each for the others
  cpus,       // its tasks use all the CPUs that there are
  turns,      // its members wake each other, and hardly anybody else does: they take turns, for which no number of threads is too small
  size,       // its tasks wait for something else, or leave CPUs idle: more threads would take more of them
};

PoolTrouble trouble_of(const Model& model, const Pool& pool);

// Seconds since when all members have waited for other threads, each in a task, for a second or longer, to the end; negative: they have not.
double hangs_since(const Model& model, const Pool& pool);

const PoolMember& busiest_of(const Pool& pool);
double busy_of_others(const Pool& pool, const PoolMember& one);  // seconds, on average

// Who brings the tasks waits for other threads most of the time: until there is room, or for what came of the tasks.
bool bringers_are_held(const Model& model, const Pool& pool);
// CPUs that the pool's tasks could use: all that the process may, less what its other threads take.
double free_cpus(const Model& model, const Pool& pool);
// Where its tasks stand still, by the function of the program that does; most time first.
struct Obstacle {
  Frame culprit;
  WaitCause cause = WaitCause::other;
  trace::Call call = trace::Call::none;  // the one that takes most of the time
  double seconds = 0, calls = 0;         // of all; of that call
  std::vector<StackEvidence> stacks;
};
std::vector<Obstacle> obstacles_of(const Model& model, const Pool& pool);

// The function in which tasks pass most time: standing still, else computing.
Frame task_of(const Model& model, const Pool& pool);
// " (UV_THREADPOOL_SIZE)": what sets the pool's size where that is well known; empty where it is not.
std::string how_to_size(const Model& model, const Pool& pool);
std::string pool_name(const Pool& pool);  // "the 4 threads of worker-#"
std::vector<Evidence> pool_evidence(const Model& model, const Pool& pool);
std::vector<StackEvidence> pool_stacks(const Model& model, const Pool& pool);

}  // namespace tailback::analyzers
