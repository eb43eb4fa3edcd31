// SPDX-License-Identifier: Apache-2.0
#include "analyzers/rules/standstill.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "analyzers/rules/lock_places.h"

namespace tailback::analyzers {

namespace {

using trace::Call;
using trace::CallGroup;

constexpr std::size_t kThreadsTold = 12, kStacksTold = 6;

bool wakes(Call call, CallGroup group) {
  switch (group) {
    case CallGroup::condition: return call == Call::cond_signal || call == Call::cond_broadcast;
    case CallGroup::semaphore: return call == Call::sem_post;
    case CallGroup::futex: return call == Call::futex_wake;
    default: return false;
  }
}

// Who has woken others from the same object before.
std::vector<ThreadId> past_wakers(const Model& model, const StuckMember& member) {
  std::vector<ThreadId> wakers;
  for (const CallRow& row : model.recording.calls.rows)
    if (row.key.object == member.object && row.key.thread && wakes(row.key.call, trace::group_of(member.call)) && std::ranges::find(wakers, row.key.thread) == wakers.end())
      wakers.push_back(row.key.thread);
  return wakers;
}

// Locks, barriers and the ends of threads are the threads' own affair; anything else a handler of a signal may end as well.
bool may_wait_for_handler(const Model& model, const StuckMember& member) {
  switch (trace::group_of(member.call)) {
    case CallGroup::lock: case CallGroup::join: case CallGroup::barrier: return false;
    default: return past_wakers(model, member).empty();
  }
}

std::string by_whom(const Model& model, const StuckMember& member) {
  const std::vector<ThreadId> wakers = past_wakers(model, member);
  if (wakers.empty()) return "; nobody was seen waking a thread from it";
  std::string text = "; woken from it so far by ";
  constexpr std::size_t kNamed = 3;
  for (std::size_t i = 0; i < std::min(wakers.size(), kNamed); ++i) text += (i ? ", " : "") + exact_label(model, wakers[i]);
  return text + (wakers.size() > kNamed ? fmt::format(" and {} more", wakers.size() - kNamed) : "");
}

std::string waits_for(const Model& model, const StuckMember& member) {
  switch (trace::group_of(member.call)) {
    case CallGroup::lock: return fmt::format("waits for the {} at {:#x}", lock_name(model, member.object, member.call), member.object);
    case CallGroup::join: return "waits for another thread to end";
    case CallGroup::barrier: return fmt::format("waits at the barrier at {:#x} for others to arrive", member.object);
    case CallGroup::condition: return fmt::format("waits on the condition at {:#x}{}", member.object, by_whom(model, member));
    case CallGroup::semaphore: return fmt::format("waits for the semaphore at {:#x}{}", member.object, by_whom(model, member));
    case CallGroup::input: return "reads from a pipe that nobody writes to";
    case CallGroup::output: return "writes to a full pipe that nobody reads from";
    default: return fmt::format("waits on the futex at {:#x}{}", member.object, by_whom(model, member));
  }
}

bool is_consequence(const StuckMember& member) { return trace::group_of(member.call) == CallGroup::join || trace::group_of(member.call) == CallGroup::lock; }

// Threads that wait at the same place for the same kind of thing are told once.
struct Group {
  const StuckMember* member;  // the first of them to wait
  std::vector<ThreadId> threads;
};

// The last to fall asleep come first: with them the process came to a standstill. Who waits for a lock or the end of a thread only follows.
std::vector<Group> groups_of(const Model& model, const StuckRow& stuck) {
  std::vector<const StuckMember*> members;
  for (const StuckMember& member : stuck.members) members.push_back(&member);
  std::ranges::sort(members, {}, [](const StuckMember* member) { return std::pair(is_consequence(*member), ~member->since); });
  std::vector<Group> groups;
  std::map<std::tuple<Call, std::uint64_t, std::string>, std::size_t> known;
  for (const StuckMember* member : members) {
    const std::string place = member->stack ? own_frame(model, member->stack).function : "";
    const auto [at, added] = known.emplace(std::tuple(member->call, is_consequence(*member) ? 0 : member->object, place), groups.size());
    if (added) groups.push_back({member, {}});
    groups[at->second].threads.push_back(member->thread);
  }
  return groups;
}

std::string label_of(const Model& model, const Group& group) {
  return group.threads.size() == 1 ? exact_label(model, group.threads[0]) : fmt::format("{} like {}", plural(group.threads.size(), "thread"), exact_label(model, group.threads[0]));
}

Frame frame_of(const Model& model, const Group& group) { return group.member->stack ? own_frame(model, group.member->stack) : Frame{}; }

std::string title_of(const Model& model, const StuckRow& stuck, const std::vector<Group>& groups) {
  std::string functions;
  for (const Group& group : groups) {
    const std::string function = frame_of(model, group).function;
    if (function.empty() || functions.find(function) != std::string::npos || std::ranges::count(functions, ',') >= 2) continue;
    functions += (functions.empty() ? "" : ", ") + function;
  }
  const std::size_t threads = stuck.members.size();
  const std::string who = threads == 1 ? "the only thread waits, and nobody is left to wake it"
                                       : fmt::format("{} wait for each other, and nobody is left to wake one", threads == 2 ? "both threads" : fmt::format("all {} threads", threads));
  return fmt::format("suspected deadlock: {}{}", who, functions.empty() ? "" : ", in " + functions);
}

bool is_explained(const Model& model, const StuckRow& stuck) {
  for (const DeadlockRow& ring : model.recording.locks.deadlocks)
    for (const DeadlockMember& member : ring.members)
      if (std::ranges::any_of(stuck.members, [&](const StuckMember& waits) { return waits.thread == member.thread && waits.since == member.since; })) return true;
  return false;
}

}  // namespace

std::optional<Finding> standstill(const Model& model) {
  const auto& stuck = model.recording.locks.stuck;
  if (!stuck || stuck->members.empty() || is_explained(model, *stuck)) return std::nullopt;
  if (stuck->handlers && std::ranges::any_of(stuck->members, [&](const StuckMember& member) { return may_wait_for_handler(model, member); })) return std::nullopt;
  const std::vector<Group> groups = groups_of(model, *stuck);
  Finding finding;
  finding.severity = Severity::high;
  finding.confidence = stuck->handlers ? 0.6 : 0.8;
  finding.culprit = frame_of(model, groups.front());
  finding.gain.metric = "availability";
  finding.gain.fraction = finding.gain.high = 1;
  finding.gain.low = 0;
  finding.gain.how = "every thread of the process sleeps, without a limit of time, until another one wakes it; none ran any more until the end of the recording";
  finding.title = title_of(model, *stuck, groups);
  for (std::size_t i = 0; i < std::min(groups.size(), kThreadsTold); ++i) {
    const StuckMember& member = *groups[i].member;
    finding.evidence.push_back(text_evidence(label_of(model, groups[i]), waits_for(model, member)));
    if (member.stack && i < kStacksTold) finding.stacks.push_back({"waiter", static_cast<double>(stuck->t - member.since) * 1e-9, "seconds", model.symbols->stack(member.stack)});
  }
  finding.evidence.push_back(seconds_evidence("all asleep from (seconds of the recording)", static_cast<double>(groups.front().member->since) * 1e-9));
  finding.advice = {"look at the first of these threads, the last to fall asleep: which of the others should have woken it? A signal sent before the wait began is lost unless what is "
                    "waited for is a condition checked under the mutex",
                    "a task that waits for another task of its own pool needs a free thread there: run the inner one in place, or let what follows be a task of its own"};
  finding.verify = fmt::format("{}; the program should get past this point", record_again(model));
  return finding;
}

}  // namespace tailback::analyzers
