// SPDX-License-Identifier: Apache-2.0
// What a recording knows of event loops: their turns as sums, the long ones singly. Part of Recording; bounded.
#pragma once
#include <cstdint>
#include <vector>

#include "agent/trace/calls.h"
#include "analyzers/model/call_tables.h"
#include "analyzers/model/log_histogram.h"

namespace tailback::analyzers {

struct LoopRow {  // what one thread comes back to
  ThreadId thread = 0;
  std::uint64_t loop = 0;  // as in call_aggregate
  std::uint64_t turns = 0, busy_ns = 0, longest_ns = 0;
  std::uint64_t ready = 0;   // descriptors that waits gave
  std::uint64_t empty = 0;   // turns without any: a time-out, or something else woke the loop
  LogHistogram busy, ready_each;
  std::uint64_t late = 0, late_ns = 0, longest_late_ns = 0;  // time-outs that had passed when the loop could serve them
  LogHistogram lateness;
};

struct TurnPartRow { trace::Call call = trace::Call::none; std::uint64_t object = 0, calls = 0, ns = 0; StackId stack = 0; };

struct LongTurnRow {
  std::uint64_t t = 0, ns = 0;
  ThreadId thread = 0;
  trace::Call call = trace::Call::none;  // what the loop waits in
  std::uint64_t loop = 0;
  StackId stack = 0;                     // of the wait
  std::uint64_t ready = 0, ready_after = 0;
  std::vector<TurnPartRow> parts;        // calls that blocked in it; `object` as in CallKey
};

struct LoopTables {
  std::vector<LoopRow> rows;             // one for each thread and loop
  std::vector<LongTurnRow> long_turns;
  std::uint64_t left_out = 0;            // records beyond the bounds
};

}  // namespace tailback::analyzers
