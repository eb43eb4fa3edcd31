// SPDX-License-Identifier: Apache-2.0
// One thread is busy while other CPUs idle: either a stage that holds up threads which wait for its work, or a program that
// does all its work in one thread. The second is a fact, not a fault, and stays low.
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/rules/cpu_places.h"
#include "analyzers/rules/rules.h"
#include "analyzers/rules/wording.h"

namespace tailback::analyzers {
namespace {

constexpr double kAlwaysBusy = 0.85;      // of a stretch of time: running or waiting for a CPU
constexpr double kWorthSaying = 0.30, kMostOfTheTime = 0.50, kAllTheTime = 0.80;  // of wall time
constexpr double kShortest = 0.5, kLongEnough = 1.0;                              // seconds
constexpr double kTakesPart = 0.01, kWakesPerSecond = 10;  // a thread that works now and then, or is woken for it
constexpr double kMostlySpins = 0.5;    // then its time is no work that could be divided
constexpr double kSharesTheWork = 0.1;  // CPU time of the waiting threads to that of the busy one

struct Alone {
  ThreadLoad load;
  double seconds = 0;       // in which it wanted a CPU and the others of the process hardly did
  double others_busy = 0;   // CPU time of other processes in those seconds, as a part of all CPUs
  bool others_known = false;
};

// The part of the other threads' CPU time that is work. Threads that wait actively do none, however busy they look.
double working_part(const std::vector<ThreadLoad>& loads, ThreadId busy) {
  double cpu = 0, spun = 0;
  for (const ThreadLoad& load : loads)
    if (load.id != busy) cpu += load.cpu, spun += load.spun;
  return cpu > 0 ? 1 - spun / cpu : 1;
}

Alone time_alone(const Model& model, const std::vector<ThreadLoad>& loads, const ThreadLoad& load) {
  Alone alone{load};
  const double working = working_part(loads, load.id);
  const ThreadTimeline* bins = model.timeline.find(load.id);
  double weighed = 0;
  for (std::size_t i = 0; bins && i < bins->bins.size() && i < model.timeline.process.size(); ++i) {
    const ProcessBin& process = model.timeline.process[i];
    const double running = static_cast<double>(bins->bins[i].running), wanted = running + static_cast<double>(bins->bins[i].runnable);
    const double others = working * std::max(0.0, process.cpu + process.run_delay - wanted);
    const bool busy = wanted >= kAlwaysBusy * static_cast<double>(bins->bins[i].alive) && wanted > 0;
    if (!busy || others >= wanted) continue;
    alone.seconds += wanted - others;
    if (process.machine_busy < 0 || process.length <= 0) continue;
    alone.others_known = true;
    const double own = process.cpu / (process.length * std::max(1.0, static_cast<double>(model.recording.machine.cpus_online)));
    alone.others_busy += std::max(0.0, process.machine_busy - own) * (wanted - others);
    weighed += wanted - others;
  }
  if (weighed > 0) alone.others_busy /= weighed;
  return alone;
}

// Whether it is known to wait for something else than another thread's work: time, requests from outside, threads that it started.
bool waits_for_something_else(const Model& model, ThreadId thread) {
  const ThreadWaits* waits = model.waits.missing.empty() ? model.waits.find(thread) : nullptr;
  if (!waits) return false;
  const auto seconds = [&](WaitCause cause) { return waits->blocked[static_cast<std::size_t>(cause)]; };
  const bool serves = waits->role == ThreadRole::idle_worker && waits->designed[static_cast<std::size_t>(WaitCause::network)] >= 0.5 * waits->by_design();
  const bool held_by_disk = seconds(WaitCause::disk) + seconds(WaitCause::lookup) >= 0.5 * waits->alive;
  return waits->role == ThreadRole::timer || waits->role == ThreadRole::event_loop || waits->role == ThreadRole::coordinator || serves || held_by_disk;
}

// How often the busy thread did what the others wait for (signalled, posted, unlocked, wrote), in the detailed windows.
double wakes_given(const Model& model, ThreadId busy, const std::vector<ThreadLoad>& waiting) {
  std::set<ThreadId> waiters;
  for (const ThreadLoad& load : waiting) waiters.insert(load.id);
  std::set<std::uint64_t> objects;
  for (const CallRow& row : model.recording.calls.rows)
    if (row.key.object && row.counts.blocked_calls && waiters.contains(row.key.thread)) objects.insert(row.key.object);
  double wakes = 0;
  for (const WakeRow& row : model.recording.calls.wakes)
    if (row.key.thread == busy && objects.contains(row.key.object)) wakes += static_cast<double>(row.count);
  return wakes;
}

// Threads that do part of the work and mostly wait.
std::vector<ThreadLoad> waiting_threads(const Model& model, const std::vector<ThreadLoad>& loads, const Alone& alone) {
  std::vector<ThreadLoad> waiting;
  const double wall = model.timeline.wall_seconds;
  for (const ThreadLoad& load : loads) {
    const bool beside = load.id != alone.load.id && std::min(load.end, alone.load.end) - std::max(load.start, alone.load.start) >= 0.5 * alone.seconds;
    const bool takes_part = load.cpu >= kTakesPart * wall || static_cast<double>(load.voluntary_switches) >= kWakesPerSecond * std::max(load.alive(), 1e-3);
    if (beside && takes_part && load.work() < 0.5 * load.alive() && !waits_for_something_else(model, load.id)) waiting.push_back(load);
  }
  return waiting;
}

// Several threads of one kind that wait are consumers of what the busy one makes; threads that each do something else (read,
// write, log) wait by design.
bool like_threads_wait(const Model& model, const std::vector<ThreadLoad>& waiting) {
  for (const ThreadGroup& group : model.cpu.groups) {
    const auto member = [&](const ThreadLoad& load) { return std::find(group.threads.begin(), group.threads.end(), load.id) != group.threads.end(); };
    if (std::count_if(waiting.begin(), waiting.end(), member) >= 2) return true;
  }
  return false;
}

// Whether one of them brings the busy thread its work and waits most of its life until that one tells it to go on: a stage of a pipeline
// in front of the one that sets the pace. Known by what either waits for and wakes.
bool holds_up_who_brings_work(const Model& model, ThreadId busy, const std::vector<ThreadLoad>& waiting) {
  constexpr double kMostly = 0.5;
  std::set<std::uint64_t> awaited, woken;  // by the busy thread
  for (const CallRow& row : model.recording.calls.rows) {
    if (row.key.thread != busy || !row.key.object) continue;
    if (is_wake(row.key.call)) woken.insert(row.key.object);
    else if (trace::ends_a_turn(row.key.call)) awaited.insert(row.key.object);
  }
  return std::any_of(waiting.begin(), waiting.end(), [&](const ThreadLoad& load) {
    bool brings = false;
    for (const CallRow& row : model.recording.calls.rows) brings |= row.key.thread == load.id && is_wake(row.key.call) && awaited.contains(row.key.object);
    double held = 0;
    for (const CallSite& site : model.waits.sites)
      if (site.key.thread == load.id && !is_wake(site.key.call) && woken.contains(site.key.object)) held += site.seconds;
    return brings && held >= kMostly * load.alive();
  });
}

Severity severity_of(const Model& model, const Alone& alone, const std::vector<ThreadLoad>& waiting) {
  double shared = 0;
  for (const ThreadLoad& load : waiting) shared += load.cpu;
  const bool long_enough = model.timeline.wall_seconds >= kLongEnough && alone.seconds >= kMostOfTheTime * model.timeline.wall_seconds;
  if (like_threads_wait(model, waiting)) return long_enough ? Severity::high : Severity::medium;
  if (holds_up_who_brings_work(model, alone.load.id, waiting)) return Severity::medium;
  return shared >= kSharesTheWork * alone.load.cpu ? Severity::medium : Severity::low;
}

Gain gain_of(const Model& model, const Alone& alone) {
  const double serial = alone.seconds / model.timeline.wall_seconds;
  Gain gain;
  gain.metric = "wall_time";
  gain.fraction = gain.high = amdahl_saving(serial, model.timeline.cpus);
  gain.low = 0;
  gain.how = fmt::format("Amdahl's law: {} of wall time in one thread alone, spread over {:.0f} CPUs; nothing where that work cannot be divided", percent(serial),
                         model.timeline.cpus);
  return bounded(gain);
}

std::vector<Evidence> evidence_of(const Model& model, const Alone& alone, std::size_t waiting) {
  const double wall = model.timeline.wall_seconds;
  std::vector<Evidence> evidence = {seconds_evidence("time in which only this thread worked", alone.seconds), fraction_evidence("of wall time", alone.seconds / wall),
                                    seconds_evidence("CPU time of the thread", alone.load.cpu), count_evidence("CPUs it may use", model.timeline.cpus, "CPUs")};
  if (alone.load.delay > 0) evidence.push_back(seconds_evidence("time it waited for a CPU", alone.load.delay));
  if (waiting > 0) evidence.push_back(count_evidence("threads that waited meanwhile", static_cast<double>(waiting), "threads"));
  if (alone.others_known) evidence.push_back(fraction_evidence("CPUs busy with other programs meanwhile", alone.others_busy));
  return evidence;
}

Finding finding_of(const Model& model, const Alone& alone, const std::vector<ThreadLoad>& waiting) {
  const double part = alone.seconds / model.timeline.wall_seconds;
  const std::string who = thread_label(model, alone.load.id);
  const std::vector<StackWeight> stacks = stacks_of_thread(model, alone.load.id);
  const std::vector<CpuSite> sites = sites_of(model, stacks);
  Finding finding;
  finding.rule = "cpu-single-threaded";
  if (!sites.empty()) finding.culprit = sites.front().culprit;
  finding.gain = gain_of(model, alone);
  finding.evidence = evidence_of(model, alone, waiting.size());
  finding.stacks = cpu_stacks(model, sites.empty() ? std::span<const StackWeight>(stacks) : std::span<const StackWeight>(sites.front().stacks), 2);
  if (waiting.empty()) {
    finding.severity = Severity::low;
    finding.confidence = 0.5;
    finding.title = fmt::format("one thread does all the work: {} is busy for {} of wall time and {:.0f} of {:.0f} CPUs stay unused", who, percent(part),
                                model.timeline.cpus - 1, model.timeline.cpus);
    finding.advice = {"if the work falls into independent parts, divide it over threads (many tools have an option for it, such as -T or -j); if not, leave it"};
  } else {
    finding.severity = severity_of(model, alone, waiting);
    const double wakes = wakes_given(model, alone.load.id, waiting);
    finding.confidence = alone.others_known && alone.others_busy > 0.8 ? 0.6 : wakes > 0 ? 0.9 : 0.8;
    if (wakes > 0) finding.evidence.push_back(count_evidence("times it was seen to wake them", wakes, "count"));
    finding.title = fmt::format("{} is the only busy thread for {} of wall time while {} wait{}", who, percent(part), plural(waiting.size(), "other thread"),
                                waiting.size() == 1 ? "s" : "");
    finding.advice = {fmt::format("divide the work of {} over more threads, or move part of it into the threads that wait", finding.culprit.function),
                      "if it must stay in one thread, make that stage cheaper: it sets the pace of all others"};
  }
  finding.verify = fmt::format("{}; CPU utilization should rise and the thread's share of wall time fall below {}", record_again(model), percent(part));
  return finding;
}

}  // namespace

RuleResult cpu_single_threaded(const Model& model) {
  if (model.timeline.cpus < 2) return RuleResult::cannot("the program may use only one CPU");
  if (model.timeline.wall_seconds < kShortest) return RuleResult::cannot(fmt::format("the recording lasted only {}", duration(model.timeline.wall_seconds)));
  const std::vector<ThreadLoad> loads = thread_loads(model);
  Alone most;
  for (const ThreadLoad& load : loads)
    if (Alone alone = time_alone(model, loads, load); alone.seconds > most.seconds) most = alone;
  const double part = most.seconds / model.timeline.wall_seconds;
  RuleResult result;
  result.fine = most.load.id ? fmt::format("no thread worked alone for long; the longest, {}, for {} of wall time", thread_label(model, most.load.id), percent(part))
                             : "no thread was always busy while the others waited";
  if (part < kWorthSaying) return result;
  if (most.load.spun > kMostlySpins * most.load.cpu) {
    result.fine = fmt::format("{} is busy alone, but waits actively (see cpu-spin)", thread_label(model, most.load.id));
    return result;
  }
  const std::vector<ThreadLoad> waiting = waiting_threads(model, loads, most);
  const bool all_alone = waiting.empty() && part >= kAllTheTime && model.timeline.wall_seconds >= kLongEnough;
  if (!waiting.empty() || all_alone) result.findings.push_back(finding_of(model, most, waiting));
  return result;
}

}  // namespace tailback::analyzers
