// SPDX-License-Identifier: Apache-2.0
// Threads that are working or held up for most of the time set the pace. One: its seconds are the program's seconds. Several:
// the program gets faster as they do on average. A thread beside them may wait as long as it likes, and one that waits for work
// now and then follows whoever gives it any.
#include "analyzers/model/wait_gain.h"

#include <algorithm>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/model/thread_load.h"

namespace tailback::analyzers {
namespace {

constexpr double kTakesPart = 0.05;   // of wall time engaged
constexpr double kSetsPace = 0.5;     // of what the most engaged thread is
constexpr double kMostlyServes = 0.5; // of wall time waiting for work: then answers get faster, not the program

constexpr double kFollows = 0.2;      // of its life waiting for work

struct Pace {
  std::vector<const ThreadWaits*> setters;
  std::size_t taking_part = 0;
};

Pace pace_of(const Model& model) {
  const auto follows = [](const ThreadWaits& thread) { return thread.by_design() >= kFollows * thread.alive; };
  double most = 0, most_of_leaders = 0;
  for (const ThreadWaits& thread : model.waits.threads) {
    most = std::max(most, thread.engaged());
    if (!follows(thread)) most_of_leaders = std::max(most_of_leaders, thread.engaged());
  }
  const bool led = most_of_leaders >= kSetsPace * most;
  Pace pace;
  for (const ThreadWaits& thread : model.waits.threads) {
    if (led && follows(thread)) continue;
    pace.taking_part += thread.engaged() >= kTakesPart * model.timeline.wall_seconds;
    if (thread.engaged() > 0 && thread.engaged() >= kSetsPace * (led ? most_of_leaders : most)) pace.setters.push_back(&thread);
  }
  return pace;
}

std::string percent(double part) { return fmt::format("{:.0f} %", 100 * std::clamp(part, 0.0, 1.0)); }

double seconds_of(const WaitSaving& saving, ThreadId thread) {
  const auto known = saving.seconds.find(thread);
  return known == saving.seconds.end() ? 0 : known->second;
}

Gain of_only_setter(const Model& model, const WaitSaving& saving, const ThreadWaits& setter, bool alone) {
  const double mine = seconds_of(saving, setter.thread), wall = model.timeline.wall_seconds;
  Gain gain;
  const bool serves = setter.by_design() >= kMostlyServes * wall;
  const double whole = serves ? std::max(setter.engaged(), mine) : wall;
  gain.metric = serves ? "latency" : "wall_time";
  gain.fraction = mine / whole;
  gain.low = alone ? gain.fraction * saving.low : 0;
  gain.high = alone || serves ? gain.fraction * saving.high : std::max(mine, saving.total()) / whole * saving.high;
  const std::string who = thread_label(model, setter.thread);
  if (serves) gain.how = fmt::format("of the time in which {} is not waiting for work; {}", who, saving.why);
  else if (alone) gain.how = fmt::format("all of it in {}, which is what the program waits for; {}", who, saving.why);
  else gain.how = fmt::format("in {}, which sets the pace by all that is known; nothing where it holds nobody up; {}", who, saving.why);
  return gain;
}

Gain of_several_setters(const Model& model, const WaitSaving& saving, const Pace& pace) {
  const double wall = model.timeline.wall_seconds;
  double sum = 0, least = wall, most = 0;
  for (const ThreadWaits* setter : pace.setters) {
    const double mine = seconds_of(saving, setter->thread);
    sum += mine, least = std::min(least, mine), most = std::max(most, mine);
  }
  Gain gain;
  gain.fraction = sum / static_cast<double>(pace.setters.size()) / wall;
  gain.low = least / wall * saving.low;
  gain.high = most / wall * saving.high;
  gain.how = fmt::format("on average over the {} threads that set the pace, between {} and {} of wall time of each; {}", pace.setters.size(),
                         percent(least / wall), percent(most / wall), saving.why);
  return gain;
}

// Only threads beside those that set the pace, or threads that are not listed singly.
Gain of_others(const Model& model, const WaitSaving& saving) {
  double lifetime = 0, most = 0;
  for (const ThreadGroupRow& group : model.recording.thread_groups) lifetime += static_cast<double>(group.lifetime_ns) * 1e-9;
  for (const auto& [thread, seconds] : saving.seconds) most = std::max(most, seconds);
  const double wall = model.timeline.wall_seconds, short_lived = seconds_of(saving, 0);
  Gain gain;
  gain.fraction = short_lived > 0 ? short_lived / std::max(wall, lifetime) : 0;
  gain.high = std::max(gain.fraction, most / wall * saving.high);
  gain.how = fmt::format("it passes in threads that nobody is seen to wait for; {}", saving.why);
  return gain;
}

}  // namespace

double WaitSaving::total() const {
  double sum = 0;
  for (const auto& [thread, part] : seconds) sum += part;
  return sum;
}

Gain gain_of_waiting(const Model& model, const WaitSaving& saving) {
  if (model.timeline.wall_seconds <= 0) return {};
  const Pace pace = pace_of(model);
  double with_setters = 0;
  for (const ThreadWaits* setter : pace.setters) with_setters += seconds_of(saving, setter->thread);
  if (with_setters <= 0) return bounded(of_others(model, saving));
  if (pace.setters.size() > 1) return bounded(of_several_setters(model, saving, pace));
  return bounded(of_only_setter(model, saving, *pace.setters.front(), pace.taking_part <= 1));
}

}  // namespace tailback::analyzers
