// SPDX-License-Identifier: Apache-2.0
// Threads that wait for each other in a ring and will do so for ever, found by the agent while it lasted.
#include <fmt/format.h>

#include "analyzers/rules/lock_places.h"
#include "analyzers/rules/rules.h"
#include "analyzers/rules/standstill.h"

namespace tailback::analyzers {
namespace {

// "mutex Registry::lock_ at 0x7f...", "lock of the file /var/lib/x"
std::string waited_for(const Model& model, const DeadlockMember& member) {
  const auto& endpoints = model.recording.calls.endpoints;
  if (member.call != trace::Call::flock) return fmt::format("{} at {:#x}", lock_name(model, member.object, member.call), member.object);
  return fmt::format("lock of the file {}", member.object < endpoints.size() ? endpoint_name(endpoints[member.object]) : "?");
}

std::string kind_of(const DeadlockMember& member) { return member.call == trace::Call::flock ? "file's lock" : kind_of_lock(member.call); }

std::string waits_for(const Model& model, const DeadlockMember& member) {
  if (member.call == trace::Call::thread_join) return fmt::format("waits for {} to end", exact_label(model, member.owner));
  if (member.process) return fmt::format("waits for the {} that process {} holds, which waits for the lock of a file that this thread holds", waited_for(model, member), member.process);
  return fmt::format("waits for the {} that {} holds", waited_for(model, member), member.owner == member.thread ? "it" : exact_label(model, member.owner));
}

Frame frame_of(const Model& model, const DeadlockMember& member) { return member.stack ? own_frame(model, member.stack) : own_frame(model, member.owner_stack); }

std::string title_of(const Model& model, const DeadlockRow& ring) {
  const DeadlockMember& first = ring.members.front();
  const std::string where = frame_of(model, first).function;
  const double since = static_cast<double>(first.since) * 1e-9;
  if (ring.members.size() == 1 && first.owner == first.thread)
    return fmt::format("{} waits for ever for a {} that it holds itself{}, since {}", exact_label(model, first.thread), kind_of(first), where.empty() ? "" : ", in " + where,
                       duration(since));
  if (first.process)
    return fmt::format("{} and process {} wait for each other for ever, for locks of files{}, since {}", exact_label(model, first.thread), first.process, where.empty() ? "" : ", in " + where,
                       duration(since));
  if (ring.members.size() == 1)  // of a recording that ends in the middle of the ring
    return fmt::format("{} waits for ever for {}{}, since {}", exact_label(model, first.thread), exact_label(model, first.owner), where.empty() ? "" : ", in " + where, duration(since));
  std::string functions = where;
  for (std::size_t i = 1; i < ring.members.size(); ++i) {
    const std::string other = frame_of(model, ring.members[i]).function;
    if (!other.empty() && functions.find(other) == std::string::npos) functions += (i + 1 == ring.members.size() ? " and " : ", ") + other;
  }
  return fmt::format("{} wait for each other for ever{}", plural(ring.members.size(), "thread"), functions.empty() ? "" : ", in " + functions);
}

Finding finding_of(const Model& model, const DeadlockRow& ring) {
  Finding finding;
  finding.severity = Severity::critical;
  finding.confidence = 0.99;
  finding.culprit = frame_of(model, ring.members.front());
  finding.gain.metric = "availability";
  finding.gain.fraction = finding.gain.low = finding.gain.high = 1;
  finding.gain.how = "these threads never run again";
  finding.title = title_of(model, ring);
  for (const DeadlockMember& member : ring.members) {
    finding.evidence.push_back(text_evidence(exact_label(model, member.thread), waits_for(model, member)));
    if (member.stack) finding.stacks.push_back({"waiter", static_cast<double>(ring.t - member.since) * 1e-9, "seconds", model.symbols->stack(member.stack)});
    if (member.owner_stack) finding.stacks.push_back({"holder", static_cast<double>(ring.t - member.since) * 1e-9, "seconds", model.symbols->stack(member.owner_stack)});
  }
  finding.evidence.push_back(seconds_evidence("certain after (from the start of recording)", static_cast<double>(ring.t) * 1e-9));
  if (ring.members.size() == 1 && ring.members.front().owner == ring.members.front().thread) finding.advice = {"call a form that expects the lock to be held, or give it back before; a recursive mutex hides the question of what the inner caller may change"};
  else finding.advice = {"take these locks in one order everywhere: by address, by rank, or both at once with std::scoped_lock / std::lock",
                         "never join or wait for a thread while holding a lock that it may need"};
  finding.verify = fmt::format("{}; the program should get past this point", record_again(model));
  return finding;
}

}  // namespace

RuleResult deadlock(const Model& model) {
  RuleResult result;
  for (const DeadlockRow& ring : model.recording.locks.deadlocks)
    if (!ring.members.empty()) result.findings.push_back(finding_of(model, ring));
  if (auto suspected = standstill(model)) result.findings.push_back(std::move(*suspected));
  result.fine = "no threads waited for each other for ever";
  return result;
}

}  // namespace tailback::analyzers
