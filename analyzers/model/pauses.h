// SPDX-License-Identifier: Apache-2.0
// Stretches of time in which the process, or a thread that others wait for, made no progress, by what it was: each with its begin, its
// length and its stack. What counts as a pause and what never does: docs/rules.md. No judgement of how much is too much.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "analyzers/model/collectors.h"
#include "analyzers/model/cpu_profile.h"
#include "analyzers/model/recording.h"
#include "analyzers/model/symbols.h"
#include "analyzers/model/timeline.h"
#include "analyzers/model/waits.h"

namespace tailback::analyzers {

enum class PauseCause : std::uint8_t { gc, stop_the_world, mass_free, page_faults, allocator_trim, fork, io, throttled, cpu_starvation, stopped, unknown };
inline constexpr std::size_t kPauseCauses = static_cast<std::size_t>(PauseCause::unknown) + 1;
const char* to_string(PauseCause cause);  // as in the report: "mass-free"

struct Pause {
  double begin = 0, seconds = 0;
  ThreadId thread = 0;  // 0: the whole process
  StackId stack = 0;    // 0 not known
  std::uint64_t object = 0;  // row of Recording::calls.endpoints, 0 none
};

// All pauses of one cause.
struct PauseKind {
  PauseCause cause = PauseCause::unknown;
  Runtime runtime = Runtime::none;  // of a collector
  std::vector<Pause> pauses;        // those known singly, in order of time
  double count = 0;                 // of all; 0: not known, the single ones are too short to be seen
  double seconds = 0;               // total; of a collector also the short ones
  bool sampled = false;             // seconds are an estimate from `samples`, but for those in `waited`
  double waited = 0;                // of a collector: for helpers of its own
  std::uint64_t samples = 0;
  bool answering = false;           // they held up threads that answer
  std::vector<StackWeight> stacks;  // where the time went, most first

  double longest() const;
  double quantile(double part) const;   // of the lengths of those known singly
  // How long whoever asks at a random moment has to wait for a pause to end: the time that part of all moments stays below.
  double added_latency(double part, double wall_seconds) const;
};

class Pauses {
 public:
  static Pauses build(const Recording& recording, const Symbols& symbols, const CpuProfile& cpu, const Timeline& timeline, const Waits& waits);

  std::vector<PauseKind> kinds;  // most time first
  std::vector<CollectorNode> collectors;  // one for each node of the recording
  double wall_seconds = 0;

  // Of a thread that answers: how long it usually takes until it waits for work again, seconds; 0: it does not answer anybody.
  double usual_turn(ThreadId thread) const;
  double turns(ThreadId thread) const;  // how many of them

 private:
  struct Turns {
    ThreadId thread = 0;
    double each = 0, count = 0;
  };
  const Turns* find(ThreadId thread) const;
  std::vector<Turns> turns_;  // ascending thread
  friend class PauseFinder;
};

}  // namespace tailback::analyzers
