// SPDX-License-Identifier: Apache-2.0
// The records about locks and about threads that were looked at: what cannot be is left out, the rest sorted into tables.
#include <algorithm>
#include <limits>

#include "analyzers/model/recording_reader.h"

namespace tailback::analyzers {

namespace {

constexpr std::uint64_t kLatestTime = std::uint64_t{1} << 61;  // as for all records: later times are damage
constexpr std::size_t kMostLockRows = 200'000, kMostOrders = 50'000, kMostDeadlocks = 100, kMostMembers = 1000, kMostLooks = 50'000;
constexpr std::uint64_t kMost32 = std::numeric_limits<std::uint32_t>::max();

trace::Call call_of(std::uint64_t number) { return static_cast<trace::Call>(std::min<std::uint64_t>(number, 0xffff)); }

}  // namespace

void RecordingReader::add_lock_cpu(std::uint64_t lock, StackId stack, std::uint64_t weight_ns) {
  if (lock == 0) return;
  const auto [at, added] = lock_cpu_rows_.emplace(std::pair(lock, stack), out_.locks.cpu.size());
  if (added && out_.locks.cpu.size() >= kMostLockRows) return void(lock_cpu_rows_.erase(at));
  if (added) out_.locks.cpu.push_back({lock, stack, 0});
  std::uint64_t& sum = out_.locks.cpu[at->second].weight_ns;
  sum = std::min(sum + std::min(weight_ns, kLatestTime), kLatestTime);
}

void RecordingReader::operator()(const trace::LockOrder& event) {
  if (event.first >= kLatestTime || event.last >= kLatestTime || event.thread > kMost32) return ignore();
  saw(event.last);
  LockOrderRow row{event.held, event.taken, static_cast<ThreadId>(event.thread), stack_of(event.held_stack), stack_of(event.taken_stack),
                   call_of(event.held_call), call_of(event.taken_call), {}, event.first, event.last};
  for (const std::uint64_t gate : {event.gate1, event.gate2, event.gate3})
    if (gate) row.gates.push_back(gate);
  const auto [at, added] = lock_orders_.emplace(std::tuple(event.held, event.taken, row.thread), out_.locks.orders.size());
  if (!added) out_.locks.orders[at->second] = std::move(row);  // the later one knows more
  else if (out_.locks.orders.size() < kMostOrders) out_.locks.orders.push_back(std::move(row));
  else lock_orders_.erase(at);
}

void RecordingReader::operator()(const trace::Deadlock& event) {
  if (event.t >= kLatestTime || event.thread > kMost32 || event.owner > kMost32) return ignore();
  saw(event.t);
  const auto [at, added] = deadlocks_.emplace(event.number, out_.locks.deadlocks.size());
  if (added && out_.locks.deadlocks.size() >= kMostDeadlocks) return void(deadlocks_.erase(at));
  if (added) out_.locks.deadlocks.push_back({event.t, {}});
  const std::uint64_t certain = out_.locks.deadlocks[at->second].t;
  auto& members = out_.locks.deadlocks[at->second].members;
  if (members.size() >= kMostMembers) return ignore();
  members.push_back({static_cast<ThreadId>(event.thread), call_of(event.call), event.object, std::min(event.since, certain), stack_of(event.stack),
                     static_cast<ThreadId>(event.owner), stack_of(event.owner_stack), event.process});
}

void RecordingReader::operator()(const trace::StuckWait& event) {
  if (event.t >= kLatestTime || event.thread > kMost32) return ignore();
  saw(event.t);
  auto& stuck = out_.locks.stuck;
  if (event.members == 0) return stuck.reset();
  if (!stuck || event.number != stuck_) stuck = StuckRow{event.t, false, {}};
  stuck_ = event.number;
  stuck->handlers |= event.handlers != 0;
  if (stuck->members.size() >= kMostMembers) return ignore();
  stuck->members.push_back({static_cast<ThreadId>(event.thread), call_of(event.call), event.object, std::min(event.since, stuck->t), stack_of(event.stack)});
}

void RecordingReader::operator()(const trace::ThreadLook& event) {
  if (event.t >= kLatestTime || event.thread > kMost32 || event.owner > kMost32) return ignore();
  saw(event.t);
  if (event.request != out_.look.request) out_.look = {event.request, event.t, {}};
  if (out_.look.threads.size() >= kMostLooks) return ignore();
  out_.look.threads.push_back({static_cast<ThreadId>(event.thread), event.asleep != 0, call_of(event.call), event.object, std::min(event.since, event.t),
                               stack_of(event.stack), std::min(event.stack_t, event.t), static_cast<ThreadId>(event.owner), stack_of(event.owner_stack), event.for_a_while != 0, {}});
}

void RecordingReader::operator()(const trace::HeldLock& event) {
  auto& threads = out_.look.threads;
  if (threads.empty() || event.request != out_.look.request || event.thread != threads.back().thread || threads.back().held.size() >= kMostMembers) return ignore();
  threads.back().held.push_back({call_of(event.call), event.object, std::min(event.since, out_.look.t), stack_of(event.stack)});
}

}  // namespace tailback::analyzers
