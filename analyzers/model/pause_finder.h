// SPDX-License-Identifier: Apache-2.0
// How Pauses::build finds them: collections first, then what stopped the whole process, then what kept single threads from answering; a
// stretch of time is told once. Only pauses.cpp and the parts named below include it.
#pragma once
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "analyzers/model/pauses.h"

namespace tailback::analyzers {

class PauseFinder {
 public:
  PauseFinder(const Recording& recording, const Symbols& symbols, const CpuProfile& cpu, const Timeline& timeline, const Waits& waits);
  Pauses find();

 private:
  static constexpr double kShortest = 0.02;  // seconds: stretches below are not recorded
  static constexpr double kHalf = 0.5;
  static double seconds_of(std::uint64_t ns) { return static_cast<double>(ns) * 1e-9; }
  // Of calls whose sum is known, and the longest: that one first; the others are taken to be alike.
  static double length_of(const LongCallsRow& row, std::uint64_t number);

  PauseKind& kind(PauseCause cause, Runtime runtime = Runtime::none);
  void add(PauseKind& kind, const Pause& pause);
  // Whether a pause of the thread, or of the process, is known that shares time with [begin, end).
  bool overlaps_pause(ThreadId thread, double begin, double end) const;
  std::vector<const BusyStretchRow*> longest_first(const std::function<bool(const BusyStretchRow&)>& wanted) const;
  void finish(PauseKind& kind);

  // pause_answers.cpp
  void find_turns();
  std::map<ThreadId, double> long_turns() const;
  bool answers(ThreadId thread) const { return out_.usual_turn(thread) > 0; }
  bool beyond_usual(ThreadId thread, double seconds) const;
  bool in_service(ThreadId thread, double begin, double end) const;
  void calls();
  void add_calls(PauseCause cause, const LongCallsRow& row);
  void stretches();
  bool holds_up(const BusyStretchRow& row) const;
  void add_stretch(const BusyStretchRow& row);
  bool takes_in_calls(ThreadId thread, double begin, double end);
  StackId most_below(StackId stack) const;
  bool is_shallow(StackId stack) const;
  StackId freeing_place(StackId stack) const;
  StackId most_freed_below(StackId stack) const;
  void weigh();
  bool frees_at(StackId id, std::vector<std::int8_t>& known) const;
  bool faults_explain(const BusyStretchRow& row) const;

  // pause_collections.cpp
  void collections();
  PauseKind& of_collector(Runtime runtime);
  Runtime collector_at(StackId stack) const;  // that a stack ends inside of
  void add_collection(ThreadId thread, double begin, double seconds, StackId stack);
  void add_waits_in_collectors();
  bool is_collection(const BusyStretchRow& row) const;
  bool is_within(StackId node, StackId ancestor) const;
  void stopped_worlds();
  bool same_kind(ThreadId a, ThreadId b) const;
  const BusyStretchRow* stretch_in(const WorldStoppedRow& world) const;
  std::vector<FunctionId> functions_of(const BusyStretchRow& row) const;

  // pause_standstills.cpp
  void standstills();
  void throttling();

  struct Below { double all = 0, frees = 0; };  // CPU time below a node, and how much of it frees memory

  const Recording& recording_;
  const Symbols& symbols_;
  const CpuProfile& cpu_;
  const Waits& waits_;
  std::vector<Below> below_;
  std::vector<bool> frees_;  // of each node: it, or one nearer to the root
  std::map<std::pair<PauseCause, Runtime>, PauseKind> kinds_;
  std::map<ThreadId, std::map<double, double>> told_;  // begin and end of the pauses of a thread, those that overlap as one
  Pauses out_;
};

}  // namespace tailback::analyzers
