// SPDX-License-Identifier: Apache-2.0
// Thread pools, found without annotations: threads of one kind that come back again and again to one place, near the root of their stacks,
// to wait for work. For each: how busy, with what, how much work came and how much of it found nobody free; second by second. Times are
// exact; tasks are counted by the signals, posts and wakes that brought them, where the program gives one for each.
#pragma once
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "analyzers/model/cpu_profile.h"
#include "analyzers/model/pool_bursts.h"
#include "analyzers/model/pool_scaling.h"
#include "analyzers/model/waits.h"

namespace tailback::analyzers {

struct PoolMember {
  ThreadId thread = 0;
  double alive = 0, idle = 0, running = 0, runnable = 0;  // seconds
  double calls_for_work = 0;                              // times that it waited for work
  double tasks = 0, unheard = 0;                          // as of the pool, where the member has a queue of its own
  double busy() const { return alive > idle ? alive - idle : 0; }
};

struct PoolBin {  // a stretch of time
  double start = 0, length = 0;  // seconds
  double alive = 0, busy = 0;    // thread seconds
  double tasks = 0, unheard = 0;
};

struct PoolPlace {  // where tasks stand still
  WaitCause cause = WaitCause::other;
  StackId stack = 0;
  trace::Call call = trace::Call::none;
  double seconds = 0, calls = 0;
};

struct Pool {
  std::string label;
  const ThreadGroup* group = nullptr;
  std::vector<PoolMember> members;      // ascending
  StackId idle_stack = 0;
  trace::Call idle_call = trace::Call::none;
  std::set<std::uint64_t> queues;       // what the members wait on for work
  std::set<ThreadId> bringers;          // other threads that wake members
  std::vector<PoolBin> bins;
  std::vector<PoolBurst> bursts;        // of `bins`, tasks that came all at once
  std::vector<PoolPlace> obstacles;     // most time first
  PoolScaling scaling;                  // of what the tasks wait for

  double alive = 0, busy = 0, running = 0, runnable = 0;  // thread seconds
  double tasks = 0;                     // brought
  double unheard = 0;                   // of them, when nobody waited
  double unheard_in_bursts = 0;         // of those, right behind another
  double waits = 0;                     // for any of the queues
  double own_tasks = 0, own_unheard = 0;  // of either, brought by members
  double begin = 0, end = 0;            // seconds, from the first member's start to the last one's end
  double last_task = 0;                 // seconds, when the last one came
  bool own_queues = false;              // each member waits on something of its own

  std::size_t size() const { return members.size(); }
  bool has_member(ThreadId thread) const;
  double utilization() const { return alive > 0 ? busy / alive : 0; }
  double blocked() const { return busy > running + runnable ? busy - running - runnable : 0; }
  double blocked_on(WaitCause cause) const;
  // Of tasks that came by themselves, the part that found all members busy.
  double found_busy() const { return tasks > unheard_in_bursts ? (unheard - unheard_in_bursts) / (tasks - unheard_in_bursts) : 0; }
  // Whether work was seen to come while all were busy, so that counts of tasks can be believed.
  bool counts_tasks() const;
  double service() const { return tasks > 0 ? busy / tasks : 0; }  // seconds for each task
  // Seconds in which at least half of the members were alive and at least `part` of their time was busy.
  double seconds_above(double part) const;
  // The most threads busy at a time, on average over one of its bins.
  double most_busy() const;
};

struct Pools {
  static Pools build(const Recording& recording, const Symbols& symbols, const CpuProfile& cpu, const Timeline& timeline, const Waits& waits);
  std::string missing;      // not empty: why nothing is known
  std::vector<Pool> all;    // busiest first
};

}  // namespace tailback::analyzers
