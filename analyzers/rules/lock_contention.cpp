// SPDX-License-Identifier: Apache-2.0
// Threads wait for a lock: blamed on whoever held it meanwhile, and on what he did. Where holders mostly stood still themselves, the
// cause is that (lock-long-hold, or the lock that they waited for).
#include <algorithm>

#include <fmt/format.h>

#include "analyzers/rules/call_places.h"
#include "analyzers/rules/lock_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

constexpr double kFewestWaits = 20;
constexpr double kMostly = 0.5;
constexpr double kShortHold = 2e-6;  // seconds: there is little to move out of it

bool for_readers(const Lock& lock) { return lock.kind == trace::Call::rwlock_rdlock || lock.kind == trace::Call::rwlock_wrlock; }

const std::vector<std::string> kInterpreterAdvice = {
    "let processes do this work (multiprocessing, concurrent.futures.ProcessPoolExecutor): each has an interpreter, and a lock, of its own",
    "or move the hot part into code that gives the lock back while it computes (NumPy, Cython with nogil, a C extension)",
    "threads help where they wait for something else, which gives the lock back; more of them only take turns here"};

std::vector<std::string> advice_for(const Lock& lock, const Frame& holder, const std::vector<WorkInside>& work) {
  if (lock.of_interpreter()) return kInterpreterAdvice;
  std::vector<std::string> advice;
  const double median = lock.holds.total() ? lock.holds.duration_quantile(0.5) * 1e-9 : 0;
  const bool is_short = median > 0 && median < kShortHold;
  if (!work.empty() && work.front().part >= 0.3 && !is_short)
    advice.push_back(fmt::format("do {} before the lock is taken or after it is given back ({} of the CPU time while it is held), and only store the result inside", work.front().function,
                                 percent(work.front().part)));
  else if (!is_short)
    advice.push_back(fmt::format("shorten what {} does while it holds the lock: prepare before, store inside, tell others after", holder.function));
  if (for_readers(lock)) advice.push_back("let readers use an immutable snapshot (a shared_ptr that writers replace) instead of a lock that every reader writes to");
  if (is_short) advice.push_back("take it less often: gather work in each thread and hand it over in batches, or keep a value for each thread and add them up when they are read");
  advice.push_back("divide what the lock protects by key or by thread (shards, each with a lock of its own), so that threads seldom meet");
  return advice;
}

// Who ran while others waited for an interpreter's lock had it: those with most CPU time.
void say_who_ran(const Model& model, const Lock& lock, std::vector<Evidence>& evidence) {
  constexpr std::size_t kNamed = 3;
  std::vector<std::pair<double, ThreadId>> running;
  for (const auto& [thread, wait] : lock.wait_by_thread)
    if (const ThreadWaits* waits = model.waits.find(thread)) running.emplace_back(waits->running / std::max(model.timeline.wall_seconds, 1e-9), thread);
  std::sort(running.rbegin(), running.rend());
  for (std::size_t i = 0; i < std::min(running.size(), kNamed); ++i)
    evidence.push_back(text_evidence("held by", fmt::format("{}: it ran {} of the time", exact_label(model, running[i].second), percent(running[i].first))));
}

Finding finding_of(const Model& model, const Lock& lock, Gain gain) {
  const Frame holder = holder_of(model, lock);
  const std::vector<WorkInside> work = work_inside(model, lock, holder, 3);
  Finding finding;
  finding.severity = severity_by_part(gain.fraction);
  finding.gain = std::move(gain);
  finding.confidence = lock.waits >= 200 && !lock.holders.empty() ? 0.9 : 0.7;
  finding.culprit = holder;
  double lives = 0;
  for (const auto& [thread, wait] : lock.wait_by_thread)
    if (const ThreadWaits* waits = model.waits.find(thread)) lives += waits->alive;
  finding.title = fmt::format("{} wait {} in all{} for {}{}{}", plural(lock.wait_by_thread.size(), "thread"), duration(lock.wait_seconds),
                              lives > 0 ? fmt::format(" ({} of their lives)", percent(lock.wait_seconds / lives)) : "", lock.of_interpreter() ? "the " : "a ", lock_name(model, lock),
                              holder.function.empty() ? "" : " that is held" + in_function(holder));
  finding.evidence = wait_evidence(model, lock);
  for (const WorkInside& part : work) finding.evidence.push_back(text_evidence("while held", fmt::format("{}: {} of the CPU time", part.function, percent(part.part))));
  if (lock.of_interpreter()) say_who_ran(model, lock, finding.evidence);
  finding.stacks = lock_stacks(model, "holder", lock.of_interpreter() ? lock.users : lock.holders, 2);
  for (StackEvidence& stack : lock_stacks(model, "waiter", lock.waiters, 2)) finding.stacks.push_back(std::move(stack));
  finding.advice = advice_for(lock, holder, work);
  finding.verify = fmt::format("{}; the time waiting for it should fall from {} to almost nothing", record_again(model), duration(lock.wait_seconds));
  return finding;
}

// Threads that otherwise wait for work met here once, as at the program's end when all are told to go: none answers later for it.
bool happened_once(const Lock& lock, const Gain& gain) {
  constexpr double kAgain = 2;
  return gain.metric == "latency" && lock.waits < kAgain * static_cast<double>(lock.wait_by_thread.size());
}

}  // namespace

RuleResult lock_contention(const Model& model) {
  if (!model.waits.missing.empty()) return RuleResult::cannot(model.waits.missing);
  RuleResult result;
  double waiting = 0;
  for (const Lock& lock : model.locks.all) {
    waiting += lock.wait_seconds;
    if (lock.waits < kFewestWaits || blocked_part(lock) >= kMostly || chained_part(lock) >= kMostly) continue;
    Gain gain = gain_of_less_waiting(model, lock, 1, lock.of_interpreter() ? "processes run side by side" : "what its holders do while others wait runs beside instead of in turn");
    if (severity_by_part(gain.fraction) == Severity::info || happened_once(lock, gain)) continue;
    result.findings.push_back(finding_of(model, lock, std::move(gain)));
  }
  result.fine = waiting > 0 ? fmt::format("threads waited {} for locks", duration(waiting)) : "no thread waited for a lock";
  return result;
}

}  // namespace tailback::analyzers
