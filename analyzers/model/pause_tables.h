// SPDX-License-Identifier: Apache-2.0
// What a recording knows of pauses: moments in which the process stood still, threads that were inside one call for long, single calls
// that took long. Part of Recording.
#pragma once
#include <cstdint>
#include <vector>

#include "analyzers/model/call_tables.h"

namespace tailback::analyzers {

struct PauseSeenRow {  // as in pause_seen
  std::uint64_t begin = 0, end = 0, source = 0, within_ns = 0;
  std::uint64_t process_cpu_ns = 0, run_delay_ns = 0, stops = 0, throttled_ns = 0, steal_ns = 0;
};

struct BusyStretchRow {  // as in busy_stretch
  ThreadId thread = 0;
  std::uint64_t begin = 0, end = 0;
  StackId stack = 0, outermost = 0, last_stack = 0;
  std::uint64_t samples = 0, weight_ns = 0;
  bool then_waited = false;
};

struct WorldStoppedRow {  // as in world_stopped
  std::uint64_t begin = 0, end = 0;
  ThreadId thread = 0, waiter = 0;
  std::uint64_t waiters = 0;
};

struct LongCallsRow {  // calls of one kind from one place in half a second, the longest of which took 10 ms or more
  CallKey key;
  StackId stack = 0;
  std::uint64_t end_ns = 0, calls = 0, ns = 0, longest_ns = 0;
};

struct TurnsSpanRow {  // the stretch of time in which a thread came back from waiting for work, to half a second
  ThreadId thread = 0;
  std::uint64_t first_ns = 0, last_ns = 0;
  std::uint64_t turns = 0, last_begin_ns = 0, last_turns = 0;  // all; of the last of the intervals in which turns are counted
  // When the last turn came back, taken to have come as fast as those before.
  double end_seconds() const;
};

struct PauseTables {
  std::vector<PauseSeenRow> seen;
  std::vector<BusyStretchRow> stretches;
  std::vector<WorldStoppedRow> worlds;
  std::vector<LongCallsRow> long_calls;
  std::vector<TurnsSpanRow> turns;  // one for each thread
};

}  // namespace tailback::analyzers
