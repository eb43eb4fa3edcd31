// SPDX-License-Identifier: Apache-2.0
#include "analyzers/rules/lock_places.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "analyzers/model/patterns.h"
#include "analyzers/rules/call_places.h"

namespace tailback::analyzers {
namespace {

double time_in(const Lock& lock, bool locks) {
  double seconds = 0;
  for (const CallInside& call : lock.calls_inside)
    if (is_lock_call(call.key.call) == locks) seconds += call.seconds;
  return seconds;
}

// Who holds it stands still in a call or has a CPU; what he waited for one counts for neither.
double part_of_hold(const Lock& lock, double seconds) {
  const double known = lock.blocked_inside + lock.cpu_inside;
  return known > 0 ? seconds / known : 0;
}

}  // namespace

std::string exact_label(const Model& model, ThreadId thread) {
  const auto* row = model.recording.threads.find(thread);
  if (!row) return fmt::format("thread {}", thread);
  return row->name.empty() ? fmt::format("thread {}", row->tid) : fmt::format("thread {} ({})", row->tid, row->name);
}

std::string lock_name(const Model& model, const Lock& lock) { return lock_name(model, lock.address, lock.kind); }

Evidence lock_evidence(const Model& model, std::uint64_t address) {
  for (const ModuleRow& module : model.recording.modules)
    if (address >= module.start && address < module.end)
      return text_evidence("lock", fmt::format("{:#x} in {}", address, module.path.substr(module.path.rfind('/') + 1)));
  return text_evidence("lock", fmt::format("{:#x}", address));
}

double blocked_part(const Lock& lock) { return part_of_hold(lock, time_in(lock, false)); }
double chained_part(const Lock& lock) { return part_of_hold(lock, time_in(lock, true)); }

Frame holder_of(const Model& model, const Lock& lock) {
  // Around a lock of the program's own making, what takes it and what gives it back are the program's functions too: who calls both holds it.
  const auto known = [](const std::vector<LockPlace>& places) { return !places.empty() && places.front().stack != 0; };
  if (lock.kind == trace::Call::futex_lock && known(lock.holders) && known(lock.waiters))
    return where_they_meet(model, lock.holders.front().stack, lock.waiters.front().stack);
  for (const auto* places : {&lock.holders, &lock.users, &lock.waiters})
    for (const LockPlace& place : *places)
      if (place.stack) return own_frame(model, place.stack);
  return {};
}

std::vector<StackEvidence> lock_stacks(const Model& model, const char* role, const std::vector<LockPlace>& places, std::size_t most) {
  std::vector<StackEvidence> stacks;
  for (const LockPlace& place : places) {
    if (stacks.size() == most) break;
    if (place.stack) stacks.push_back({role, place.seconds, "seconds", model.symbols->stack(place.stack)});
  }
  return stacks;
}

std::vector<Evidence> wait_evidence(const Model& model, const Lock& lock) {
  const double wall = model.timeline.wall_seconds;
  std::vector<Evidence> evidence = {lock_evidence(model, lock.address), seconds_evidence("time waiting, all threads", lock.wait_seconds),
                                    count_evidence("threads that waited", static_cast<double>(lock.wait_by_thread.size()), "count"),
                                    count_evidence("waits", lock.waits, "count"), seconds_evidence("longest wait", lock.longest_wait)};
  if (lock.held_up_seconds > 0) evidence.push_back(fraction_evidence("wall time in which it was held while others waited", std::min(1.0, lock.held_up_seconds / wall)));
  if (lock.acquisitions > 0) {
    evidence.push_back(count_evidence("times taken (estimated)", lock.acquisitions, "count"));
    if (lock.holds.total()) {
      evidence.push_back(seconds_evidence("held, median", lock.holds.duration_quantile(0.5) * 1e-9));
      evidence.push_back(seconds_evidence("held, 99th percentile", lock.holds.duration_quantile(0.99) * 1e-9));
    }
  }
  return evidence;
}

std::vector<WorkInside> work_inside(const Model& model, const Lock& lock, const Frame& holder, std::size_t most) {
  std::map<FunctionId, double> totals;
  for (const LockPlace& place : lock.working) {
    std::set<FunctionId> seen;
    bool below = true;
    for (StackId node = place.stack; node != 0 && node < model.recording.nodes.size() && below; node = model.recording.nodes[node].parent) {
      if (model.recording.nodes[node].kind != 0) continue;
      for (const SymbolFrame& frame : model.symbols->frames(node)) {
        const std::string& name = model.symbols->function_name(frame.function);
        if (name == holder.function) {
          below = false;
          break;
        }
        if (!is_runtime_code(bare_name(model.symbols->full_name(frame.function)), model.symbols->module_name(frame.function))) seen.insert(frame.function);
      }
    }
    if (!below)
      for (const FunctionId function : seen) totals[function] += place.seconds;
  }
  std::vector<WorkInside> work;
  for (const auto& [function, seconds] : totals) work.push_back({model.symbols->function_name(function), lock.cpu_inside > 0 ? seconds / lock.cpu_inside : 0});
  std::stable_sort(work.begin(), work.end(), [](const WorkInside& a, const WorkInside& b) { return a.part > b.part; });
  std::erase_if(work, [](const WorkInside& part) { return part.part < 0.05; });
  work.resize(std::min(work.size(), most));
  return work;
}

}  // namespace tailback::analyzers
