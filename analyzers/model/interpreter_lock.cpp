// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/interpreter_lock.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string_view>
#include <unordered_map>

namespace tailback::analyzers {

namespace {

using trace::Call;

// What CPython exports that takes its lock, by itself or in a function that is not exported.
constexpr std::array<std::string_view, 8> kTakers = {"PyEval_RestoreThread", "PyEval_AcquireThread", "PyEval_AcquireLock", "PyGILState_Ensure",
                                                     "_PyEval_EvalFrameDefault", "PyEval_EvalFrameEx", "_PyThreadState_Attach", "PyThreadState_Swap"};
constexpr std::size_t kHiddenBetween = 2;  // functions that are not exported between the wait and the taker
constexpr std::size_t kFewestThreads = 2;

FunctionId function_at(const Symbols& symbols, StackId node) { return symbols.frames(node).back().function; }

// The stack from the innermost function on that has a name: what lies inside of it is the interpreter's own business.
StackId named_caller(const Model& model, StackId stack) {
  StackId node = stack;
  for (std::size_t depth = 0; depth <= kHiddenBetween && node; ++depth, node = model.recording.nodes[node].parent)
    if (model.symbols->resolved(function_at(*model.symbols, node))) return node;
  return stack;
}

// The condition most waited for of those that look like it; 0 none.
std::uint64_t find_condition(const Model& model) {
  std::unordered_map<std::uint64_t, std::uint64_t> waited;
  for (const CallStackRow& row : model.recording.calls.stacks)
    if (row.key.call == Call::cond_wait && row.key.object && takes_interpreter_lock(model.recording, *model.symbols, row.stack)) waited[row.key.object] += row.counts.ns;
  const auto most = std::max_element(waited.begin(), waited.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == waited.end() ? 0 : most->first;
}

// Threads that wait for the condition and signal it as well: each has the lock in turn.
std::size_t threads_in_turn(const Model& model, std::uint64_t condition) {
  std::set<ThreadId> wait, signal, both;
  for (const CallRow& row : model.recording.calls.rows) {
    if (row.key.object != condition) continue;
    if (row.key.call == Call::cond_wait) wait.insert(row.key.thread);
    if (row.key.call == Call::cond_signal) signal.insert(row.key.thread);
  }
  std::set_intersection(wait.begin(), wait.end(), signal.begin(), signal.end(), std::inserter(both, both.end()));
  return both.size();
}

Lock lock_of(const Model& model, std::uint64_t condition) {
  const Recording& recording = model.recording;
  std::map<StackId, LockPlace> waiters, users;
  Lock lock;
  lock.address = condition;
  lock.kind = Call::cond_wait;
  for (const CallRow& row : recording.calls.rows) {
    if (row.key.object != condition || row.key.call != Call::cond_wait) continue;
    const double seconds = static_cast<double>(row.counts.ns) * 1e-9;
    lock.waits += static_cast<double>(row.counts.calls), lock.wait_seconds += seconds;
    lock.longest_wait = std::max(lock.longest_wait, static_cast<double>(row.counts.longest_ns) * 1e-9);
    lock.wait_by_thread[row.key.thread] += seconds;
  }
  for (const CallStackRow& row : recording.calls.stacks) {
    if (row.key.object != condition || !row.stack || (row.key.call != Call::cond_wait && row.key.call != Call::cond_signal)) continue;
    const StackId stack = named_caller(model, row.stack);
    LockPlace& place = (row.key.call == Call::cond_wait ? waiters : users)[stack];
    place.stack = stack, place.seconds += static_cast<double>(row.counts.ns) * 1e-9, place.count += static_cast<double>(row.counts.calls);
  }
  for (const auto& [stack, place] : waiters) lock.waiters.push_back(place);
  for (const auto& [stack, place] : users) lock.users.push_back(place);
  std::stable_sort(lock.waiters.begin(), lock.waiters.end(), [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  std::stable_sort(lock.users.begin(), lock.users.end(), [](const auto& a, const auto& b) { return a.count > b.count; });
  return lock;
}

}  // namespace

bool takes_interpreter_lock(const Recording& recording, const Symbols& symbols, StackId stack) {
  const auto& nodes = recording.nodes;
  if (stack == 0 || stack >= nodes.size()) return false;
  const ModuleId module = nodes[stack].module;
  StackId node = stack;
  for (std::size_t depth = 0; depth <= kHiddenBetween && node && nodes[node].module == module; ++depth, node = nodes[node].parent) {
    const std::string& name = symbols.full_name(function_at(symbols, node));
    if (std::find(kTakers.begin(), kTakers.end(), name) != kTakers.end()) return depth > 0;
  }
  return false;
}

void add_interpreter_lock(Model& model) {
  const std::uint64_t condition = find_condition(model);
  if (!condition || threads_in_turn(model, condition) < kFewestThreads) return;
  auto& all = model.locks.all;
  const Lock lock = lock_of(model, condition);
  all.insert(std::upper_bound(all.begin(), all.end(), lock, [](const Lock& a, const Lock& b) { return a.wait_seconds > b.wait_seconds; }), lock);
}

}  // namespace tailback::analyzers
