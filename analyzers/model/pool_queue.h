// SPDX-License-Identifier: Apache-2.0
// The queue in front of a pool, and what it would be with another number of threads: the tasks that came, second by second, as a fluid
// through the pool (queueing.h), under the CPUs that there are. Where tasks cannot be counted, or each thread has a queue of its own, nothing is said of queues.
#pragma once
#include <string>

#include "analyzers/model/pools.h"

namespace tailback::analyzers {

struct PoolQueue {
  bool known = false;
  double wait = 0;         // mean seconds from being brought to being begun
  double length = 0;       // mean number of tasks that wait
  double longest = 0;
  double finish = 0;       // seconds, when the last task is done
  std::string how;         // how that is known
};

// As it was.
PoolQueue queue_of(const Pool& pool);

// A few tasks that stand still so long, and several at a time, that others find all threads busy far more often than chance would have it,
// though the threads have little to do on average; nullptr: none do.
const PoolPlace* holds_all(const Pool& pool);

struct PoolPlan {
  double size = 0;            // threads that the work calls for; as now when more bring nothing
  bool limited_by_cpus = false;  // more threads than that would wait for a CPU
  bool limited_by_waits = false; // what the tasks wait for gives more threads hardly more (pool_scaling.h)
  double load = 0;            // threads that the busiest stretch of tasks keeps busy
  PoolQueue now, after;       // as a model says for the present size and for that one
};

// `free_cpus`: CPUs that the pool's tasks could use, on average.
PoolPlan plan_of(const Pool& pool, double free_cpus);
// The queue as the model has it for `threads`, each of whose tasks needs `cpu` seconds of `free_cpus`.
PoolQueue queue_with(const Pool& pool, double threads, double free_cpus);

}  // namespace tailback::analyzers
