// SPDX-License-Identifier: Apache-2.0
// What would be gained if something were otherwise: the execution graphs of the detail windows, replayed with the change. Each window is
// replayed several times in a row, and threads of one kind take turns in their parts, as over a whole run; so neither the ends of a
// window nor who happened to have more to do in it counts. Bounds are from how much the windows differ.
// What a replay cannot know: that threads do something else when they come in another order.
#pragma once
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "analyzers/model/execution_graph.h"

namespace tailback::analyzers {

// A change, as what is left of each step.
struct Change {
  using Part = std::function<double(const GraphThread&, const GraphStep&)>;  // 0 nothing is left, 1 all of it
  Part run;        // of CPU time; none: all
  Part wait;       // of waits; one that a wake ends is either left as it is or (0) not waited for; none: all
  std::uint64_t given_back_early = 0;  // a lock: before the calls that wait while it is held, instead of after them
  // A sleep of which this holds ends when the last other thread that ran meanwhile is done or wakes somebody, instead of when its time is over;
  // where others still run as it ends it stays as it is.
  std::function<bool(const GraphThread&, const GraphStep&)> woken;
  ThreadId divided = 0;    // a thread whose runs are spread over
  std::size_t ways = 1;    // so many
  struct Pool {    // these threads take what one of them did between two waits of the kind in turns
    std::set<ThreadId> threads;
    trace::Call idle_call = trace::Call::none;
    std::uint64_t idle_object = 0;  // 0: any
    double task_seconds = 0;        // what they do without such a wait in between is cut into tasks of this length; 0: not
    std::size_t more = 0;           // threads
  } pool;
};

Change without_waits_for(std::uint64_t lock);                             // what happens while it is held happens side by side
Change with_shorter_section(std::uint64_t lock, double part);             // what runs while it is held takes this part of the time
Change with_lock_given_back_early(std::uint64_t lock);
Change without_waits_in(trace::Call call, std::uint64_t object, double part);  // object 0: any; `part` of the time is left
// Of each thread's CPU time what is left; threads that are not listed keep theirs.
Change with_less_cpu(const std::map<ThreadId, double>& left);
Change with_wakes_for_sleeps(ThreadId sleeper);
Change with_divided_work(ThreadId thread, std::size_t ways);
Change with_more_workers(Change::Pool pool);

struct WhatIf {
  std::size_t windows = 0;   // replayed
  double seconds = 0;        // their time
  double fraction = 0, low = 0, high = 0;  // of that time that the change saves; may be below 0

  // Below, a replay says little of the whole run, and rules keep to their formulas.
  bool says_enough() const { return windows >= 2 && seconds >= 0.15; }
};

class WhatIfReplay {
 public:
  WhatIfReplay() = default;
  // Keeps the windows whose unchanged replay takes as long as they did.
  WhatIfReplay(const Recording& recording, double cpus, std::size_t most_steps = GraphOptions{}.most_steps);

  bool usable() const { return !windows_.empty(); }
  const std::vector<WindowGraph>& windows() const { return windows_; }
  std::size_t refused() const { return refused_; }  // windows that were not kept
  // Of the windows in which `concerns` holds for a step; none: of all.
  WhatIf gain_of(const Change& change, const std::function<bool(const GraphStep&)>& concerns = {}) const;

 private:
  double cpus_ = 1;
  std::vector<WindowGraph> windows_;
  std::size_t refused_ = 0;
};

// Seconds that one window takes with the change; below 0 where no thread sets the pace. For tests and WhatIfReplay.
double replayed_seconds(const WindowGraph& window, double cpus, const Change& change);

}  // namespace tailback::analyzers
