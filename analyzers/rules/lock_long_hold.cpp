// SPDX-License-Identifier: Apache-2.0
// A lock is held across something that blocks (storage, network, a sleep, a child), and others wait for it meanwhile. Not where it is
// held to wait for a client: the others have nothing to do either (servers that let one thread at a time accept).
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "analyzers/rules/call_places.h"
#include "analyzers/rules/lock_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

constexpr double kMuch = 0.3;  // of the time in which others were held up
constexpr double kMostly = 0.5;
constexpr double kFewestWaits = 20, kFewestCalls = 10;  // below, one holder that lost its CPU inside a call explains it

struct Blocking {
  const CallInside* longest = nullptr;
  std::map<WaitCause, double> by_cause;
  double seconds = 0, accepting = 0, calls = 0;
};

Blocking blocking_inside(const Model& model, const Lock& lock) {
  Blocking found;
  for (const CallInside& call : lock.calls_inside) {
    if (is_lock_call(call.key.call)) continue;
    if (!found.longest) found.longest = &call;
    found.seconds += call.seconds, found.calls += call.calls;
    if (call.key.call == trace::Call::accept) found.accepting += call.seconds;
    const bool on_endpoint = trace::works_on_endpoint(trace::group_of(call.key.call)) && call.key.object < model.recording.calls.endpoints.size();
    found.by_cause[cause_of(call.key.call, on_endpoint ? model.recording.calls.endpoints[call.key.object].kind : trace::EndpointKind::unknown)] += call.seconds;
  }
  return found;
}

std::string object_name(const Model& model, const CallInside& call) {
  if (!trace::works_on_endpoint(trace::group_of(call.key.call)) || call.key.object == 0) return {};
  return fmt::format(" on {}", endpoint_name(model.recording.calls.endpoints[call.key.object]));
}

// The function on the call's stack that holds the lock; without one the function that calls.
Frame holder_in(const Model& model, const Lock& lock, const CallInside& call) {
  if (!call.stack) return holder_of(model, lock);
  for (const Frame& frame : model.symbols->stack(call.stack))
    for (const LockPlace& holder : lock.holders)
      if (holder.stack && own_frame(model, holder.stack).function == frame.function) return frame;
  return own_frame(model, call.stack);
}

Finding finding_of(const Model& model, const Lock& lock, const Blocking& blocking, double part, Gain gain) {
  const CallInside& longest = *blocking.longest;
  const std::string what = fmt::format("{}{}", trace::name_of(longest.key.call), object_name(model, longest));
  Finding finding;
  finding.severity = severity_by_part(gain.fraction);
  finding.gain = std::move(gain);
  finding.confidence = lock.waits >= 20 ? 0.9 : 0.7;
  finding.culprit = holder_in(model, lock, longest);
  finding.title = fmt::format("a {} is held across {}{}: {} wait {} for it", lock_name(model, lock), what, in_function(finding.culprit), plural(lock.wait_by_thread.size(), "thread"),
                              duration(lock.wait_seconds));
  finding.evidence = wait_evidence(model, lock);
  finding.evidence.push_back(fraction_evidence("of the time in which others were held up, its holder stood still itself", part));
  for (const auto& [cause, seconds] : blocking.by_cause) finding.evidence.push_back(seconds_evidence(fmt::format("held while waiting for {}", to_string(cause)), seconds));
  if (longest.stack) finding.stacks.push_back({"blocked", longest.seconds, "seconds", model.symbols->stack(longest.stack)});
  for (StackEvidence& stack : lock_stacks(model, "holder", lock.holders, 1)) finding.stacks.push_back(std::move(stack));
  for (StackEvidence& stack : lock_stacks(model, "waiter", lock.waiters, 2)) finding.stacks.push_back(std::move(stack));
  finding.advice = {fmt::format("give the lock back before {} and take it again after, or copy what the call needs and make it without the lock", what),
                    "if the order of these calls must be kept, give them a lock or a queue of their own, which those that only need the data never touch"};
  if (blocking.by_cause.contains(WaitCause::disk)) finding.advice.push_back("let one thread write and flush for all: the others add their record under the lock and wait, without it, for the flush that covers theirs");
  finding.verify = fmt::format("{}; the time waiting for it should fall from {} to almost nothing", record_again(model), duration(lock.wait_seconds));
  return finding;
}

}  // namespace

RuleResult lock_long_hold(const Model& model) {
  if (!model.waits.missing.empty()) return RuleResult::cannot(model.waits.missing);
  RuleResult result;
  double blocked = 0;
  for (const Lock& lock : model.locks.all) {
    const double part = blocked_part(lock);
    const Blocking blocking = blocking_inside(model, lock);
    for (const auto& [cause, seconds] : blocking.by_cause) blocked += seconds;
    if (!blocking.longest || lock.waits < kFewestWaits || blocking.calls < kFewestCalls || part < kMuch || blocking.accepting >= kMostly * blocking.seconds) continue;
    Gain gain = gain_of_less_waiting(model, lock, part, fmt::format("{} of the waits are for holders that stand still in calls", percent(part)));
    if (severity_by_part(gain.fraction) == Severity::info) continue;
    result.findings.push_back(finding_of(model, lock, blocking, part, std::move(gain)));
  }
  result.fine = blocked > 0 ? fmt::format("locks were held for {} across calls that block", duration(blocked)) : "no lock was held across calls that block";
  return result;
}

}  // namespace tailback::analyzers
