// SPDX-License-Identifier: Apache-2.0
// CPU time goes into taking locks and giving them back though hardly anybody waits: a lock around very little, very often.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/model/patterns.h"
#include "analyzers/rules/call_places.h"
#include "analyzers/rules/lock_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

constexpr double kFewestEachSecond = 100'000;
constexpr double kLeastPart = 0.1;  // of CPU time
constexpr double kRecordingSeconds = 4e-9;  // that the recording adds to each acquisition and which a bare program does not spend; docs/performance.md
constexpr double kMostWaiting = 0.2;  // of the time of the threads that take it: beyond, it is contention

bool is_lock_function(std::string_view bare) {
  if (bare.starts_with("__")) bare.remove_prefix(2);
  if (bare.starts_with("_")) bare.remove_prefix(1);
  for (const std::string_view prefix : {"pthread_mutex_", "pthread_rwlock_", "pthread_spin_", "GI___pthread_", "lll_", "mtx_"})
    if (bare.starts_with(prefix)) return true;
  return false;
}

// Whether the innermost function of a stack takes or gives back a lock.
bool in_lock_function(const Model& model, StackId stack) {
  const auto frames = model.symbols->frames(stack);
  return !frames.empty() && frames.front().function && is_lock_function(bare_name(model.symbols->full_name(frames.front().function)));
}

struct Place {
  Frame culprit;
  std::vector<bool> stacks;
  std::vector<StackWeight> heaviest;
  double seconds = 0;
};

std::vector<Place> places_of_cost(const Model& model) {
  std::map<std::string, Place> places;
  for (const StackWeight& weight : model.cpu.stacks) {
    if (!in_lock_function(model, weight.stack)) continue;
    const Frame own = own_frame(model, weight.stack);
    Place& place = places[own.function];
    if (place.stacks.empty()) place.culprit = own, place.stacks.resize(model.recording.nodes.size());
    place.stacks[weight.stack] = true;
    place.heaviest.push_back(weight);
    place.seconds += static_cast<double>(weight.ns) * 1e-9;
  }
  std::vector<Place> found;
  for (auto& [name, place] : places) found.push_back(std::move(place));
  std::stable_sort(found.begin(), found.end(), [](const Place& a, const Place& b) { return a.seconds > b.seconds; });
  return found;
}

// The lock that is taken most in that function.
const Lock* lock_of(const Model& model, const Frame& culprit) {
  const Lock* most = nullptr;
  double count = 0;
  for (const Lock& lock : model.locks.all) {
    double here = 0;
    for (const LockPlace& user : lock.users)
      if (user.stack && own_frame(model, user.stack).function == culprit.function) here += user.count;
    if (here > count) most = &lock, count = here;
  }
  return most;
}

Finding finding_of(const Model& model, const Place& place, const Lock& lock, Gain gain) {
  const bool readers = lock.kind == trace::Call::rwlock_rdlock || lock.kind == trace::Call::rwlock_wrlock;
  const double wall = model.timeline.wall_seconds;
  Finding finding;
  finding.severity = severity_by_part(gain.fraction);
  finding.gain = std::move(gain);
  finding.confidence = 0.8;
  finding.cpu_seconds = place.seconds;
  finding.culprit = place.culprit;
  finding.title = fmt::format("{} takes a {} {:.1f} million times a second: {} of CPU time goes into the lock itself", place.culprit.function, lock_name(model, lock),
                              lock.acquisitions / wall * 1e-6, percent(place.seconds * 1e9 / static_cast<double>(std::max<std::uint64_t>(1, model.cpu.cpu_ns))));
  finding.evidence = wait_evidence(model, lock);
  finding.evidence.insert(finding.evidence.begin() + 1, seconds_evidence("CPU time in taking it and giving it back", place.seconds));
  finding.stacks = cpu_stacks(model, place.heaviest, 2);
  if (readers) finding.advice.push_back("let readers use an immutable snapshot that writers replace (std::atomic<std::shared_ptr>, RCU), or a copy in each thread that is renewed when a version number changes: "
                                        "each reader writes to a lock's memory, which CPUs pass around");
  finding.advice.push_back("take it once around a batch instead of once for each item");
  finding.advice.push_back("replace what it protects by an atomic variable, or keep a value for each thread and add them up when they are read");
  finding.verify = fmt::format("{}; CPU time in the lock's functions should fall from {} to almost nothing", record_again(model), duration(place.seconds));
  return finding;
}

bool is_contention(const Model& model, const Lock& lock) {
  double alive = 0;
  for (const auto& [thread, wait] : lock.wait_by_thread)
    if (const ThreadWaits* waits = model.waits.find(thread)) alive += waits->engaged();
  return alive > 0 && lock.wait_seconds >= kMostWaiting * alive;
}

}  // namespace

RuleResult lock_overuse(const Model& model) {
  if (!model.waits.missing.empty()) return RuleResult::cannot(model.waits.missing);
  if (const std::string few = too_few_samples(model); !few.empty()) return RuleResult::cannot(few);
  RuleResult result;
  const double wall = model.timeline.wall_seconds, cpu = static_cast<double>(model.cpu.cpu_ns) * 1e-9;
  double taken = 0;
  for (const Lock& lock : model.locks.all) taken += lock.acquisitions;
  for (const Place& place : places_of_cost(model)) {
    if (place.seconds < kLeastPart * cpu) break;
    const Lock* lock = lock_of(model, place.culprit);
    if (!lock || lock->acquisitions < kFewestEachSecond * wall || is_contention(model, *lock)) continue;
    const double without_recording = cpu / std::max(cpu - lock->acquisitions * kRecordingSeconds, 0.5 * cpu);
    Gain gain = gain_of_cpu_time(model, place.stacks, {0.5, without_recording, 1.2 * without_recording, "CPU time in the functions of the lock"});
    if (severity_by_part(gain.fraction) == Severity::info) continue;
    result.findings.push_back(finding_of(model, place, *lock, std::move(gain)));
  }
  result.fine = fmt::format("locks were taken about {:.0f} times a second", wall > 0 ? taken / wall : 0);
  return result;
}

}  // namespace tailback::analyzers
