// SPDX-License-Identifier: Apache-2.0
// Event loops: threads that come back again and again to a wait for any of their descriptors. How long their turns take, what a descriptor
// that becomes ready at a random moment waits for its turn, and what the long turns were spent on: the functions of the program that run in
// these and not in the others. Formulas: docs/rules.md.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "analyzers/finding.h"
#include "analyzers/model/cpu_profile.h"
#include "analyzers/model/recording.h"
#include "analyzers/model/symbols.h"
#include "analyzers/model/waits.h"

namespace tailback::analyzers {

struct HandlerTurn {
  const LongTurnRow* turn = nullptr;
  double seconds = 0;  // of it that the handler took
};

struct LoopHandler {  // what kept a loop from its next wait
  Frame culprit;
  std::vector<HandlerTurn> turns;
  double seconds = 0, longest = 0;               // in all of them; the longest turn
  double cpu = 0, allocating = 0;                // seconds sampled; of them, in the allocator
  std::array<double, kWaitCauses> blocked{};     // seconds in calls that blocked
  std::vector<StackWeight> cpu_stacks, blocked_stacks;  // heaviest first
};

struct EventLoop {
  const LoopRow* row = nullptr;
  trace::Call call = trace::Call::none;  // what it waits in
  StackId wait = 0;                      // where, 0 not known
  double alive = 0, busy = 0, waiting = 0;  // seconds of the thread; of them in turns, in waits
  std::vector<const LongTurnRow*> long_turns;
  double told = 1;                       // long turns that each of these stands for
  std::vector<LoopHandler> handlers;     // most seconds first

  double ready_each() const { return row->turns ? static_cast<double>(row->ready) / static_cast<double>(row->turns) : 0; }
};

// How often turns of each length occurred: long ones singly, the others by powers of two. They can be made shorter. Seconds.
class TurnLengths {
 public:
  explicit TurnLengths(const EventLoop& loop);
  void shorten(const LongTurnRow& turn, double to);
  double quantile(double part) const;
  // What a descriptor waits that becomes ready at a random moment: it comes into a turn in proportion to the turn's length.
  double mean_lag() const;
  double lag_quantile(double part) const;

 private:
  struct Long { const LongTurnRow* turn; double seconds, count; };
  double longer_than(double length) const;   // turns
  double later_than(double lag) const;       // seconds of all moments that wait for longer
  double alive_;
  std::array<double, LogHistogram::kBuckets> counts_{};
  std::vector<Long> long_;                   // ascending in `turn`
};

class EventLoops {
 public:
  static EventLoops build(const Recording& recording, const Symbols& symbols, const Waits& waits);

  std::string missing;          // not empty: why nothing is known
  std::vector<EventLoop> loops;  // busiest first
};

}  // namespace tailback::analyzers
