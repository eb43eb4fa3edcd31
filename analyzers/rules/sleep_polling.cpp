// SPDX-License-Identifier: Apache-2.0
// A thread sleeps, looks, sleeps again, until something has happened: each time it hears of it half an interval late. Known from
// checks that come back empty, or from a short sleep that others of the process outlast. A pause alone is no polling.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/model/sleep_runs.h"
#include "analyzers/model/thread_load.h"
#include "analyzers/rules/call_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

using trace::Call;
using trace::CallGroup;

constexpr double kFewestSleeps = 20, kOftenEnough = 5;   // sleeps; a second
constexpr double kLongestInterval = 0.5, kLongestOfFlag = 0.05;  // seconds: beyond, it is a schedule
constexpr double kChecksComeBackEmpty = 0.5;             // of the sleeps
constexpr double kMostlySleeps = 0.2, kLongestLook = 1e-4;  // CPU time of the thread, to its sleeping and for each sleep: a look, not work
constexpr double kEachTime = 0.95;                       // of the sleeps, steps of work
constexpr double kAgain = 0.3, kFewestSeen = 10;         // of the sleeps seen singly: right after another one, in vain
constexpr double kOthersWork = 0.05;                     // of the sleeping: else nobody makes happen what it waits for
constexpr double kServes = 0.3;                          // of wall time: another thread waits for work from outside

// What it looks at between its sleeps, known when the looks are calls that fail or come back with nothing.
struct Check {
  Call call = Call::none;
  double empty = 0, found = 0;
};

struct Polling {
  ThreadId thread = 0;
  std::size_t threads = 1;   // that poll at this place
  CallPlace place;
  double interval = 0;     // seconds, mean
  Check check;             // call none: a flag in memory
  double late = 0;         // seconds lost by hearing late, expected
  double low = 0, high = 0;
  bool serves = false;     // nobody inside the process is seen to wait
};

bool can_be_check(Call call) {
  const CallGroup group = trace::group_of(call);
  return group == CallGroup::input || group == CallGroup::metadata || group == CallGroup::child || group == CallGroup::file_lock || group == CallGroup::multiplex ||
         group == CallGroup::connection;
}

using Checks = std::map<ThreadId, std::map<Call, Check>>;

Checks all_checks(const Model& model) {
  Checks checks;
  for (const CallRow& row : model.recording.calls.rows) {
    if (!can_be_check(row.key.call)) continue;
    const double failed = static_cast<double>(std::min(row.counts.calls, row.counts.errors + row.counts.empty));
    if (failed < 0.3 * static_cast<double>(row.counts.calls)) continue;  // other use of the same call
    Check& check = checks[row.key.thread][row.key.call];
    check.call = row.key.call, check.empty += failed, check.found += static_cast<double>(row.counts.calls) - failed;
  }
  return checks;
}

Check check_of(const Checks& checks, ThreadId thread, double sleeps) {
  Check best;
  const auto of_thread = checks.find(thread);
  if (of_thread == checks.end()) return best;
  for (const auto& [call, check] : of_thread->second)
    if (check.empty > best.empty) best = check;
  return best.empty >= kChecksComeBackEmpty * sleeps ? best : Check{};
}

bool another_serves(const Model& model, ThreadId thread) {
  return std::any_of(model.waits.threads.begin(), model.waits.threads.end(), [&](const ThreadWaits& other) {
    const double outside = other.designed[static_cast<std::size_t>(WaitCause::poll)] + other.designed[static_cast<std::size_t>(WaitCause::network)];
    return other.thread != thread && outside >= kServes * model.timeline.wall_seconds;
  });
}

// Time in which the sleeper slept and no other thread of the process did what it may wait for.
void find_lateness_of_flag(const Model& model, Polling& polling) {
  double others = 0;
  for (const ThreadWaits& other : model.waits.threads)
    if (other.thread != polling.thread) others += other.engaged();
  polling.late = std::max(0.0, polling.place.seconds - others);
  polling.low = 0.5 * polling.late;
  polling.high = std::max(polling.late, std::min(polling.place.seconds, 1.2 * polling.late));
}

void find_lateness_of_check(Polling& polling) {
  const double waits = std::clamp(polling.check.found, 1.0, polling.place.calls);
  polling.late = std::min(polling.place.seconds, waits * polling.interval / 2);
  polling.high = std::min(polling.place.seconds, waits * polling.interval);
}

// What a thread does for others or waits for elsewhere. A lock, a wait given up after a time and a change of the address space may belong
// to a look.
bool is_step_of_work(const CallRow& row) {
  const CallGroup group = trace::group_of(row.key.call);
  return is_wake(row.key.call) || group == CallGroup::output || group == CallGroup::input || group == CallGroup::condition || group == CallGroup::semaphore || group == CallGroup::futex ||
         group == CallGroup::join || group == CallGroup::connection || group == CallGroup::flush || row.key.call == Call::sleep_until;
}

// A thread that does something each time it has slept paces work, or waits for what takes that long; one that waits for an answer sleeps
// more often than it gets one.
template <class Wanted>
bool steps_with_each_sleep(const Model& model, const Polling& polling, Wanted&& wanted) {
  double steps = 0;
  for (const CallRow& row : model.recording.calls.rows)
    if (row.key.thread == polling.thread && is_step_of_work(row) && wanted(row)) steps += static_cast<double>(row.counts.calls) - static_cast<double>(row.counts.empty);
  return steps >= kEachTime * polling.place.calls;
}

// Between its waits a thread may work for long. It is seen to wait where it sleeps again without having done anything: neither woken anybody,
// which is known singly, nor made calls too quick for that.
bool looks_in_vain(const Model& model, const Polling& polling, const std::map<ThreadId, SleepRuns>& runs) {
  const auto own = runs.find(polling.thread);
  if (own == runs.end() || own->second.sleeps < kFewestSeen || own->second.again < kAgain * own->second.sleeps) return false;
  if (steps_with_each_sleep(model, polling, [](const CallRow& row) { return !is_wake(row.key.call); })) return false;
  double others = 0;
  for (const ThreadWaits& other : model.waits.threads)
    if (other.thread != polling.thread) others += other.engaged();
  return others >= kOthersWork * polling.place.seconds;
}

bool only_looks(const Model& model, const Polling& polling) {
  const ThreadWaits* waits = model.waits.find(polling.thread);
  return waits && waits->running <= std::min(kMostlySleeps * polling.place.seconds, kLongestLook * polling.place.calls) && !steps_with_each_sleep(model, polling, [](const CallRow&) { return true; });
}

bool is_polling(const Model& model, const Checks& checks, const std::map<ThreadId, SleepRuns>& runs, Polling& polling) {
  const double sleeps = polling.place.calls;
  polling.interval = polling.place.seconds / std::max(1.0, sleeps);
  if (sleeps < kFewestSleeps || sleeps < kOftenEnough * polling.place.seconds || polling.interval > kLongestInterval) return false;
  polling.check = check_of(checks, polling.thread, sleeps);
  if (polling.check.call != Call::none) {
    find_lateness_of_check(polling);
    return true;
  }
  if (model.waits.threads.size() < 2 || polling.interval > kLongestOfFlag) return false;
  if (!only_looks(model, polling) && !looks_in_vain(model, polling, runs)) return false;
  polling.serves = another_serves(model, polling.thread);
  find_lateness_of_flag(model, polling);
  return true;
}

// Places where one thread sleeps, those with most time.
std::vector<Polling> sleepers(const Model& model) {
  std::vector<Polling> found;
  for (const CallPlace& place : places_of(model, [](const CallSite& site) { return site.key.call == Call::sleep; })) {
    std::map<ThreadId, CallPlace> by_thread;
    for (const CallSite* site : place.sites) {
      by_thread[site->key.thread].culprit = place.culprit;
      by_thread[site->key.thread].add(*site);
    }
    for (auto& [thread, own] : by_thread) found.push_back({thread, 1, std::move(own)});
  }
  std::stable_sort(found.begin(), found.end(), [](const Polling& a, const Polling& b) { return a.place.seconds > b.place.seconds; });
  found.resize(std::min(found.size(), kMostPlaces));
  return found;
}

// One suggestion for each place. Its threads wait side by side, so the one that loses most counts.
void join(std::vector<Polling>& joined, const Polling& polling) {
  const Frame& culprit = polling.place.culprit;
  const auto same = [&](const Polling& other) { return other.place.culprit.function == culprit.function && other.place.culprit.module == culprit.module; };
  const auto known = std::find_if(joined.begin(), joined.end(), same);
  if (known == joined.end()) return joined.push_back(polling);
  ++known->threads;
  known->place.add(polling.place);
  known->interval = known->place.seconds / std::max(1.0, known->place.calls);
  known->check.empty += polling.check.empty, known->check.found += polling.check.found;
  known->low = std::min(known->low, polling.low), known->late = std::max(known->late, polling.late), known->high = std::max(known->high, polling.high);
}

std::string who_polls(const Model& model, const Polling& polling) {
  return polling.threads == 1 ? thread_label(model, polling.thread) : plural(polling.threads, "thread");
}

Gain gain_of(const Model& model, const Polling& polling) {
  const double wall = model.timeline.wall_seconds;
  Gain gain;
  if (polling.serves) {
    gain.metric = "latency";
    gain.how = fmt::format("whatever it waits for is noticed {} late on average, half the interval; how often that held anybody up is not known", duration(polling.interval / 2));
    return gain;
  }
  gain.fraction = polling.late / wall, gain.low = polling.low / wall, gain.high = polling.high / wall;
  if (polling.check.call == Call::none)
    gain.how = fmt::format("{} asleep, less the time in which other threads were at work: {} in which nothing happened but the wait for the end of an interval",
                           duration(polling.place.seconds), duration(polling.late));
  else
    gain.how = fmt::format("{:.0f} waits, each heard of half an interval of {} late on average; at most a whole one", std::max(1.0, polling.check.found), duration(polling.interval));
  return bounded(gain);
}

std::vector<std::string> advice_for(const Polling& polling) {
  std::vector<std::string> advice;
  switch (trace::group_of(polling.check.call)) {
    case CallGroup::child: advice.push_back("wait for the process itself: waitpid without WNOHANG, or a pidfd in poll"); break;
    case CallGroup::metadata: advice.push_back("let the kernel say when the file changes or appears: inotify, or have its writer signal through a pipe, socket or eventfd"); break;
    case CallGroup::file_lock: advice.push_back("take the lock with a call that waits (flock without LOCK_NB, F_SETLKW)"); break;
    case CallGroup::none:
      advice.push_back("let whoever makes it true wake the waiter: std::condition_variable, std::atomic::wait/notify_one, a semaphore or an eventfd");
      break;
    default: advice.push_back("wait in poll or epoll for the descriptor instead of trying it between sleeps"); break;
  }
  advice.push_back(fmt::format("saves {} of delay for each event on average (half the interval of {}), and {:.0f} wake-ups", duration(polling.interval / 2), duration(polling.interval),
                               polling.place.calls));
  return advice;
}

std::vector<Evidence> evidence_of(const Model& model, const Polling& polling) {
  std::vector<Evidence> evidence = {seconds_evidence("time asleep between looks", polling.place.seconds), count_evidence("sleeps", std::round(polling.place.calls), "count"),
                                    seconds_evidence("interval, mean", polling.interval), seconds_evidence("delay of each event, mean", polling.interval / 2),
                                    text_evidence(polling.threads == 1 ? "thread" : "threads", who_polls(model, polling))};
  if (polling.check.call == Call::none) return evidence;
  evidence.push_back(text_evidence("looks by calling", trace::name_of(polling.check.call)));
  evidence.push_back(count_evidence("looks that found nothing", polling.check.empty, "count"));
  evidence.push_back(count_evidence("looks that found something", polling.check.found, "count"));
  return evidence;
}

Finding finding_of(const Model& model, const Polling& polling, Gain gain) {
  Finding finding;
  finding.severity = polling.serves ? Severity::low : severity_by_part(gain.fraction);
  finding.gain = std::move(gain);
  finding.confidence = polling.check.call == Call::none ? 0.65 : 0.85;
  finding.culprit = polling.place.culprit;
  finding.title = fmt::format("{} wait{} by sleeping {:.0f} times for {}{}: {} of wall time", who_polls(model, polling), polling.threads == 1 ? "s" : "", polling.place.calls,
                              duration(polling.interval), in_function(polling.place.culprit),
                              percent(polling.place.seconds / static_cast<double>(polling.threads) / model.timeline.wall_seconds));
  finding.evidence = evidence_of(model, polling);
  finding.stacks = blocked_stacks(model, polling.place, 2);
  finding.advice = advice_for(polling);
  finding.verify = fmt::format("{}; the {:.0f} sleeps should be gone, and the time asleep with them", record_again(model), polling.place.calls);
  return finding;
}

}  // namespace

RuleResult sleep_polling(const Model& model) {
  if (!model.waits.missing.empty()) return RuleResult::cannot(model.waits.missing);
  RuleResult result;
  double sleeps = 0;
  const Checks checks = all_checks(model);
  const std::map<ThreadId, SleepRuns> runs = sleep_runs(model.recording);
  std::vector<Polling> places;
  for (Polling& polling : sleepers(model)) {
    sleeps += polling.place.calls;
    if (is_polling(model, checks, runs, polling)) join(places, polling);
  }
  for (const Polling& polling : places) {
    constexpr double kManyWakeUps = 50;  // a second: worth a word even when nobody is seen to wait
    const bool restless = polling.serves && polling.place.calls >= kManyWakeUps * model.timeline.wall_seconds;
    Gain gain = gain_of(model, polling);
    if (restless || severity_by_part(gain.fraction) != Severity::info) result.findings.push_back(finding_of(model, polling, std::move(gain)));
  }
  result.fine = sleeps > 0 ? fmt::format("{:.0f} sleeps, none seen to hold anything up", sleeps) : "no thread slept";
  return result;
}

}  // namespace tailback::analyzers
