// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/uneven_work.h"

#include <algorithm>
#include <set>
#include <utility>

namespace tailback::analyzers {
namespace {

constexpr double kStartsTogether = 0.2;   // of the phase
constexpr double kFarApart = 0.2;         // of the phase between the last finish and the mean of the others; also of CPU time
constexpr double kBusyToTheEnd = 0.8;     // of its time the last thread wanted a CPU
constexpr double kShortestPhase = 0.2;    // seconds

// Threads of one group that ran side by side.
struct Phase {
  std::vector<ThreadLoad> threads;
  double begin = 0, end = 0;
  const ThreadLoad* last() const {
    return &*std::max_element(threads.begin(), threads.end(), [](const ThreadLoad& a, const ThreadLoad& b) { return a.last_active < b.last_active; });
  }
};

std::vector<Phase> phases_of(std::vector<ThreadLoad> loads) {
  std::sort(loads.begin(), loads.end(), [](const ThreadLoad& a, const ThreadLoad& b) { return a.first_active < b.first_active; });
  std::vector<Phase> phases;
  for (const ThreadLoad& load : loads) {
    if (phases.empty() || load.first_active >= phases.back().end) phases.push_back({{}, load.first_active, load.last_active});
    phases.back().threads.push_back(load);
    phases.back().end = std::max(phases.back().end, load.last_active);
  }
  return phases;
}

bool finishes_apart(const Phase& phase, double& others_finish) {
  const double length = phase.end - phase.begin;
  if (phase.threads.size() < 2 || length < kShortestPhase) return false;
  const ThreadLoad& last = *phase.last();
  double finishes = 0, mean_cpu = 0;
  for (const ThreadLoad& load : phase.threads) {
    if (load.first_active - phase.begin > kStartsTogether * length) return false;
    if (load.cpu > last.cpu * 1.1) return false;  // then the last to finish is not the one with most work
    if (load.id != last.id) finishes += load.last_active;
    mean_cpu += load.cpu / static_cast<double>(phase.threads.size());
  }
  others_finish = finishes / static_cast<double>(phase.threads.size() - 1);
  const bool busy = last.demand() >= kBusyToTheEnd * (last.last_active - last.first_active);
  return busy && phase.end - others_finish >= kFarApart * length && last.cpu - mean_cpu >= kFarApart * last.cpu;
}

void add_phase(UnevenWork& uneven, const Phase& phase, const ThreadLoad& last, double others_finish, double cpus, double wall) {
  double total = 0;
  for (const ThreadLoad& load : phase.threads) total += load.cpu;
  const double count = static_cast<double>(phase.threads.size());
  const double critical = count > cpus ? last.demand() : last.cpu;
  const double even = total / std::min(count, std::max(cpus, 1.0));
  const double length = phase.end - phase.begin;
  const double lost = critical > even ? length * (critical - even) / critical : 0;
  uneven.gain += lost / wall;
  uneven.lost += lost;
  uneven.phases += 1;
  if (length < uneven.length) return;  // describe the longest phase
  uneven.length = length;
  uneven.longest = last.cpu;
  uneven.mean = total / count;
  uneven.others_finish = others_finish - phase.begin;
  uneven.threads = phase.threads.size();
  uneven.last = last.id;
}

// The others stand still at a barrier to which the busiest comes too. Where the main thread takes part, as in OpenMP, whose waits no hook
// sees, it is enough that they are not known to wait for anything.
bool wait_for_it(const Model& model, const Phase& phase, ThreadId busiest, bool with_main) {
  constexpr double kMostly = 0.5, kHardly = 0.2;  // of the time in which they want no CPU
  std::set<std::uint64_t> barriers;
  for (const CallRow& row : model.recording.calls.rows)
    if (row.key.thread == busiest && row.key.call == trace::Call::barrier_wait) barriers.insert(row.key.object);
  double idle = 0, at_barrier = 0, blocked = 0;
  for (const ThreadLoad& load : phase.threads) {
    if (load.id == busiest) continue;
    idle += std::max(0.0, load.alive() - load.demand());
    if (const ThreadWaits* waits = model.waits.find(load.id)) blocked += waits->blocked_seconds();
    for (const CallSite& site : model.waits.sites)
      if (site.key.thread == load.id && site.key.call == trace::Call::barrier_wait && barriers.contains(site.key.object)) at_barrier += site.seconds;
  }
  return at_barrier >= kMostly * idle || (with_main && blocked <= kHardly * idle);
}

// The stacks in which threads that wait for the busiest spin, as OpenMP's do for a while.
std::vector<StackWeight> spinning_stacks(const Model& model, const std::vector<ThreadLoad>& members) {
  std::vector<StackWeight> spinning;
  for (const ThreadLoad& load : members)
    for (const StackWeight& weight : stacks_of_thread(model, load.id))
      if (model.spinning.at(weight.stack)) spinning.push_back(weight);
  std::stable_sort(spinning.begin(), spinning.end(), [](const StackWeight& a, const StackWeight& b) { return a.ns > b.ns; });
  return spinning;
}

// All of them as one phase, in which the busiest is hardly ever without work.
UnevenWork uneven_in_rounds(const Model& model, std::vector<ThreadLoad> members, double part_of_main) {
  constexpr double kFewestSeconds = 0.5, kHardlyElse = 0.8;
  UnevenWork uneven;
  if (members.size() < 2 || !model.waits.missing.empty()) return uneven;
  uneven.spun_stacks = spinning_stacks(model, members);
  for (ThreadLoad& load : members) uneven.spun += load.spun, load.cpu -= load.spun;
  Phase phase{std::move(members), 0, 0};
  const ThreadLoad busiest = *std::max_element(phase.threads.begin(), phase.threads.end(), [](const ThreadLoad& a, const ThreadLoad& b) { return a.cpu < b.cpu; });
  double cpu = 0;
  for (const ThreadLoad& load : phase.threads) cpu += load.cpu;
  phase.begin = busiest.first_active, phase.end = busiest.last_active;
  const double length = phase.end - phase.begin, mean = cpu / static_cast<double>(phase.threads.size());
  const bool busy = length >= kFewestSeconds && busiest.demand() >= kBusyToTheEnd * length;
  if (!busy || busiest.cpu - mean < kFarApart * busiest.cpu || !wait_for_it(model, phase, busiest.id, part_of_main > 0)) return uneven;
  if (busiest.is_main && part_of_main < kHardlyElse) return uneven;  // what it does alone holds up the others
  add_phase(uneven, phase, busiest, 0, model.timeline.cpus, model.timeline.wall_seconds);
  uneven.in_rounds = true;
  return uneven;
}

}  // namespace

UnevenWork uneven_work(const Model& model, const ThreadGroup& group, const std::vector<ThreadLoad>& loads, double part_of_main) {
  std::vector<ThreadLoad> members;
  for (const ThreadLoad& load : loads)
    if ((part_of_main > 0 && load.is_main) || std::find(group.threads.begin(), group.threads.end(), load.id) != group.threads.end()) members.push_back(load);
  UnevenWork uneven;
  for (const Phase& phase : phases_of(members)) {
    double others_finish = 0;
    if (finishes_apart(phase, others_finish)) add_phase(uneven, phase, *phase.last(), others_finish, model.timeline.cpus, model.timeline.wall_seconds);
  }
  return uneven.phases ? uneven : uneven_in_rounds(model, std::move(members), part_of_main);
}

}  // namespace tailback::analyzers
