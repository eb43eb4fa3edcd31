// SPDX-License-Identifier: Apache-2.0
// Many threads are woken where there is work for one: all but one take the lock, find nothing, and wait again.
#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/model/patterns.h"
#include "analyzers/rules/call_places.h"
#include "analyzers/rules/lock_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

constexpr double kFewestBroadcasts = 50, kFewestWaiters = 3;
constexpr double kLeastForNothing = 0.4;  // of the threads woken

struct Storm {
  std::uint64_t condition = 0;
  double broadcasts = 0, woken = 0, for_nothing = 0;
  std::map<StackId, double> wakers, waiters;  // stacks, by count and by seconds
};

std::vector<Storm> storms_of(const Model& model) {
  std::map<std::uint64_t, Storm> storms;
  const auto number = [](std::uint64_t count) { return static_cast<double>(count); };
  for (const CallRow& row : model.recording.calls.rows) {
    if (row.key.object == 0) continue;  // of many conditions that are not told apart
    if (row.key.call == trace::Call::cond_broadcast) storms[row.key.object].broadcasts += number(row.counts.calls), storms[row.key.object].woken += number(row.counts.bytes);
    if (row.key.call == trace::Call::cond_wait_again) storms[row.key.object].for_nothing += number(row.counts.calls);
  }
  for (const CallStackRow& row : model.recording.calls.stacks) {
    if (row.stack == 0 || !storms.contains(row.key.object)) continue;
    if (row.key.call == trace::Call::cond_broadcast) storms[row.key.object].wakers[row.stack] += number(row.counts.calls);
    if (row.key.call == trace::Call::cond_wait) storms[row.key.object].waiters[row.stack] += number(row.counts.ns) * 1e-9;
  }
  std::vector<Storm> found;
  for (auto& [condition, storm] : storms) {
    storm.condition = condition;
    const bool many = storm.broadcasts >= kFewestBroadcasts && storm.woken >= kFewestWaiters * storm.broadcasts;
    if (many && storm.for_nothing >= kLeastForNothing * storm.woken) found.push_back(std::move(storm));
  }
  return found;
}

std::vector<std::pair<StackId, double>> sorted(const std::map<StackId, double>& stacks) {
  std::vector<std::pair<StackId, double>> all(stacks.begin(), stacks.end());
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  return all;
}

bool waits_or_wakes(const Model& model, StackId stack) {
  const auto frames = model.symbols->frames(stack);
  if (frames.empty() || frames.front().function == 0) return false;
  const std::string bare = bare_name(model.symbols->full_name(frames.front().function));
  return bare.find("pthread_cond_") != std::string::npos || bare.find("futex") != std::string::npos || bare.find("lll_lock") != std::string::npos || bare.find("pthread_mutex") != std::string::npos;
}

// CPU time of waking: in the waiters' calls that wait, and in the wakers' that wake. Threads that run for moments have few samples: each
// group's part is taken of its CPU clocks.
double seconds_of_waking(const Model& model, const Storm& storm) {
  std::set<std::string> places;
  for (const auto* stacks : {&storm.wakers, &storm.waiters})
    for (const auto& [stack, weight] : *stacks) places.insert(own_frame(model, stack).function);
  double seconds = 0;
  for (const ThreadGroup& group : model.cpu.groups) {
    double inside = 0, all = 0;
    for (const StackWeight& weight : group.stacks) {
      const auto ns = static_cast<double>(weight.ns);
      all += ns;
      if (waits_or_wakes(model, weight.stack) && places.contains(own_frame(model, weight.stack).function)) inside += ns;
    }
    if (all > 0) seconds += static_cast<double>(group.cpu_ns) * 1e-9 * inside / all;
  }
  return seconds;
}

Gain gain_of(const Model& model, const Storm& storm) {
  const double nothing = std::min(1.0, storm.for_nothing / storm.woken), cpu = static_cast<double>(model.cpu.cpu_ns) * 1e-9;
  const double part = cpu > 0 ? seconds_of_waking(model, storm) / cpu : 0;
  Gain gain;
  gain.metric = "cpu_time";
  gain.fraction = nothing * part;
  gain.low = 0.5 * gain.fraction;
  gain.high = part;
  gain.how = fmt::format("{} of CPU time is spent in waking and in looking in vain, {} of it for nothing. What wall time gains depends on who waits for whom", percent(part), percent(nothing));
  return bounded(gain);
}

Finding finding_of(const Model& model, const Storm& storm, Gain gain) {
  const auto wakers = sorted(storm.wakers), waiters = sorted(storm.waiters);
  Finding finding;
  finding.severity = std::max(Severity::low, severity_by_part(gain.fraction));
  finding.gain = std::move(gain);
  finding.confidence = 0.8;
  finding.culprit = wakers.empty() ? Frame{} : own_frame(model, wakers.front().first);
  const double each = storm.woken / storm.broadcasts, nothing = std::min(1.0, storm.for_nothing / storm.woken);
  finding.title = fmt::format("each of {:.0f} wake-ups{} wakes {:.0f} threads, and {} of them find nothing to do", storm.broadcasts, in_function(finding.culprit), each, percent(nothing));
  finding.evidence = {text_evidence("condition", fmt::format("{:#x}", storm.condition)), count_evidence("wake-ups of all", storm.broadcasts, "count"),
                      count_evidence("threads woken", storm.woken, "count"), count_evidence("threads that waited again at once", storm.for_nothing, "count")};
  if (!wakers.empty()) finding.stacks.push_back({"holder", wakers.front().second, "count", model.symbols->stack(wakers.front().first)});
  if (!waiters.empty()) finding.stacks.push_back({"waiter", waiters.front().second, "seconds", model.symbols->stack(waiters.front().first)});
  finding.advice = {"wake one thread for each piece of work (notify_one, pthread_cond_signal); wake all only when all can go on",
                    "where threads wait for different things, give each its own condition variable", "give the lock back before waking, so that the woken thread does not wait for it"};
  finding.verify = fmt::format("{}; system time and involuntary work of the waiting threads should fall", record_again(model));
  return finding;
}

}  // namespace

RuleResult lock_wake_storm(const Model& model) {
  if (!model.waits.missing.empty()) return RuleResult::cannot(model.waits.missing);
  RuleResult result;
  for (const Storm& storm : storms_of(model)) {
    result.findings.push_back(finding_of(model, storm, gain_of(model, storm)));
  }
  result.fine = "wake-ups woke threads that had something to do";
  return result;
}

}  // namespace tailback::analyzers
