// SPDX-License-Identifier: Apache-2.0
// Threads that share one piece of work finish far apart, and the last one decides when it is done: once, or round after round, where the
// others wait for it each time. Threads of a pool that merely do different amounts are no imbalance: they must begin together and the
// others must have stopped, or wait for the one.
#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "analyzers/model/attribution.h"
#include "analyzers/model/gain.h"
#include "analyzers/model/spinning.h"
#include "analyzers/model/thread_kinds.h"
#include "analyzers/rules/rules.h"
#include "analyzers/rules/wording.h"

namespace tailback::analyzers {
namespace {

constexpr double kStartsTogether = 0.2;   // of the phase
constexpr double kFarApart = 0.2;         // of the phase between the last finish and the mean of the others; also of CPU time
constexpr double kBusyToTheEnd = 0.8;     // of its time the last thread wanted a CPU
constexpr double kShortestPhase = 0.2;    // seconds
constexpr double kWorthSaying = 0.05, kMedium = 0.12, kHigh = 0.25;  // gain in wall time

// Threads of one group that ran side by side.
struct Phase {
  std::vector<ThreadLoad> threads;
  double begin = 0, end = 0;
  const ThreadLoad* last() const {
    return &*std::max_element(threads.begin(), threads.end(), [](const ThreadLoad& a, const ThreadLoad& b) { return a.last_active < b.last_active; });
  }
};

struct Uneven {
  double gain = 0, lost = 0;  // part of wall time, seconds
  double longest = 0, mean = 0;
  double others_finish = 0;   // mean, seconds after the phase's begin
  double length = 0;
  std::size_t threads = 0, phases = 0;
  ThreadId last = 0;
  bool in_rounds = false;
  double spun = 0;                        // seconds in which the others waited actively
  std::vector<StackWeight> spun_stacks;
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

void add_phase(Uneven& uneven, const Phase& phase, const ThreadLoad& last, double others_finish, double cpus, double wall) {
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

bool spins_at(const Spinning& spinning, StackId stack) { return stack < spinning.stacks.size() && spinning.stacks[stack]; }

struct Work {  // without what is spun away
  std::vector<StackWeight> stacks;
  double ns = 0;
};

Work work_of(const Spinning& spinning, const ThreadGroup& group) {
  Work work;
  for (const StackWeight& weight : group.stacks)
    if (!spins_at(spinning, weight.stack)) work.stacks.push_back(weight), work.ns += static_cast<double>(weight.ns);
  return work;
}

// CPU time (ns) under each function that is the first of its module on a stack, seen from the root.
std::map<FunctionId, double> times_by_first(const Model& model, const Work& work) {
  std::map<FunctionId, double> times;
  for (const StackWeight& weight : work.stacks) {
    std::map<std::string_view, FunctionId> first;
    for (StackId id = weight.stack; id && id < model.recording.nodes.size(); id = model.recording.nodes[id].parent) {
      if (model.recording.nodes[id].kind != 0) continue;
      for (const SymbolFrame& frame : model.symbols->frames(id)) {
        const std::string& module = model.symbols->module_name(frame.function);
        if (frame.function && !is_thread_plumbing(model.symbols->function_name(frame.function), module)) first[module] = frame.function;
      }
    }
    for (const auto& [module, function] : first) times[function] += static_cast<double>(weight.ns);
  }
  return times;
}

// The main thread takes part in a group's work where most of its own time passes in the function that most of the group's begins with (the
// body of an OpenMP loop). What both merely call, like a hash, tells nothing. That part of its time; 0: it does not.
double part_of_main(const Model& model, const Spinning& spinning, const ThreadGroup& group) {
  constexpr double kMostOfIts = 0.5;
  const auto main = std::find_if(model.cpu.groups.begin(), model.cpu.groups.end(), [](const ThreadGroup& one) { return one.is_main; });
  if (main == model.cpu.groups.end() || group.is_main) return 0;
  const Work by_main = work_of(spinning, *main), by_group = work_of(spinning, group);
  std::map<FunctionId, double> of_main;
  for (const FunctionTime& time : model.cpu.functions_of(by_main.stacks)) of_main[time.function] = static_cast<double>(time.total_ns);
  double part = 0;
  for (const auto& [function, ns] : times_by_first(model, by_group))
    if (const auto known = of_main.find(function); known != of_main.end() && ns >= kMostOfIts * by_group.ns) part = std::max(part, known->second / by_main.ns);
  return part >= kMostOfIts ? part : 0;
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

// Where threads that wait for the busiest spin, as OpenMP's do for a while, that is no work.
struct Spun {
  std::vector<StackWeight> stacks;  // of the members, in which they spin
  double seconds = 0;
};

Spun without_spinning(const Model& model, const Spinning& spinning, std::vector<ThreadLoad>& members) {
  Spun spun;
  for (ThreadLoad& load : members) {
    std::uint64_t all = 0, own = 0;
    for (const StackWeight& weight : stacks_of_thread(model, load.id)) {
      all += weight.ns;
      if (!spins_at(spinning, weight.stack)) continue;
      own += weight.ns;
      spun.stacks.push_back(weight);
    }
    const double seconds = all ? load.cpu * static_cast<double>(own) / static_cast<double>(all) : 0;
    load.cpu -= seconds;
    spun.seconds += seconds;
  }
  std::stable_sort(spun.stacks.begin(), spun.stacks.end(), [](const StackWeight& a, const StackWeight& b) { return a.ns > b.ns; });
  return spun;
}

// All of them as one phase, in which the busiest is hardly ever without work.
Uneven uneven_in_rounds(const Model& model, const Spinning& spinning, std::vector<ThreadLoad> members, double part_of_main) {
  constexpr double kFewestSeconds = 0.5, kHardlyElse = 0.8;
  Uneven uneven;
  if (members.size() < 2 || !model.waits.missing.empty()) return uneven;
  Spun spun = without_spinning(model, spinning, members);
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
  uneven.spun_stacks = std::move(spun.stacks), uneven.spun = spun.seconds;
  return uneven;
}

Uneven uneven_of(const Model& model, const Spinning& spinning, const ThreadGroup& group, const std::vector<ThreadLoad>& loads, double part_of_main) {
  std::vector<ThreadLoad> members;
  for (const ThreadLoad& load : loads)
    if ((part_of_main > 0 && load.is_main) || std::find(group.threads.begin(), group.threads.end(), load.id) != group.threads.end()) members.push_back(load);
  Uneven uneven;
  for (const Phase& phase : phases_of(members)) {
    double others_finish = 0;
    if (finishes_apart(phase, others_finish)) add_phase(uneven, phase, *phase.last(), others_finish, model.timeline.cpus, model.timeline.wall_seconds);
  }
  return uneven.phases ? uneven : uneven_in_rounds(model, spinning, std::move(members), part_of_main);
}

Gain gain_of(const Uneven& uneven) {
  Gain gain;
  gain.metric = "wall_time";
  gain.fraction = gain.high = uneven.gain;
  gain.low = uneven.gain * 0.5;
  gain.how = fmt::format("(longest - even share) / longest of the CPU time of {} threads, times the length of the phase: {} of wall time; half of it when the work "
                         "cannot be divided evenly", uneven.threads, percent(uneven.gain));
  return bounded(gain);
}

Finding finding_of(const Model& model, const ThreadGroup& group, const Uneven& uneven) {
  const std::vector<StackWeight> stacks = stacks_of_thread(model, uneven.last);
  const Attribution attribution(model.recording, *model.symbols, stacks);
  LoopIndex loops(model.recording);
  const std::vector<CpuSite> sites = cpu_sites(stacks, *model.symbols, attribution, loops);
  Finding finding;
  finding.rule = "cpu-load-imbalance";
  finding.severity = uneven.gain >= kHigh ? Severity::high : uneven.gain >= kMedium ? Severity::medium : Severity::low;
  finding.confidence = uneven.phases > 1 || uneven.longest > 1.5 * uneven.mean ? 0.85 : 0.7;
  finding.culprit = sites.empty() ? frame_at(model, group.start_routine) : sites.front().culprit;
  finding.title = uneven.in_rounds ? fmt::format("{} threads share work unevenly, round after round: the busiest computes for {}, all on average for {}, and the others wait for it",
                                                 uneven.threads, duration(uneven.longest), duration(uneven.mean))
                                   : fmt::format("{} threads share work unevenly: the last runs {}, the others are done after {} on average", uneven.threads, duration(uneven.length),
                                                 duration(uneven.others_finish));
  finding.gain = gain_of(uneven);
  finding.evidence = {seconds_evidence("CPU time of the longest thread", uneven.longest), seconds_evidence("mean CPU time of the threads", uneven.mean),
                      seconds_evidence("lost to it, summed", uneven.lost), text_evidence("threads", group.label),
                      text_evidence(uneven.in_rounds ? "busiest" : "last to finish", thread_label(model, uneven.last))};
  if (uneven.spun > 0) finding.evidence.push_back(seconds_evidence("CPU time of waiting actively for it", uneven.spun));
  if (!uneven.in_rounds) {
    finding.evidence.push_back(seconds_evidence("time from the others' finish to the last", uneven.length - uneven.others_finish));
    finding.evidence.push_back(count_evidence("uneven phases", static_cast<double>(uneven.phases), "phases"));
  }
  finding.stacks = cpu_stacks(model, sites.empty() ? std::span<const StackWeight>(stacks) : std::span<const StackWeight>(sites.front().stacks), 1);
  for (StackEvidence& stack : cpu_stacks(model, uneven.spun_stacks, 2)) finding.stacks.push_back(std::move(stack));
  for (StackEvidence& stack : creator_stack(model, group.creation_stack, static_cast<double>(group.thread_count), "threads")) finding.stacks.push_back(std::move(stack));
  finding.advice = {"divide by cost instead of by count: many small pieces taken from a shared queue or an atomic index (OpenMP: schedule(dynamic) or guided), largest first",
                    "where pieces differ in size, split the large ones"};
  finding.verify = fmt::format("{}; the CPU seconds of these threads should be nearly equal", record_again(model));
  return finding;
}

}  // namespace

RuleResult cpu_load_imbalance(const Model& model) {
  const double wall = model.timeline.wall_seconds;
  if (wall <= 0) return RuleResult::cannot("the recording holds no stretch of time");
  const std::vector<ThreadLoad> loads = thread_loads(model);
  const Attribution attribution(model.recording, *model.symbols, model.cpu.stacks);
  LoopIndex loops(model.recording);
  const Spinning spinning = find_spinning(model, attribution, loops);
  RuleResult result;
  std::size_t looked_at = 0;
  for (const ThreadGroup& group : model.cpu.groups) {
    const double of_main = part_of_main(model, spinning, group);
    if (group.is_main || group.threads.size() + (of_main > 0) < 2) continue;
    ++looked_at;
    const Uneven uneven = uneven_of(model, spinning, group, loads, of_main);
    if (uneven.gain >= kWorthSaying) result.findings.push_back(finding_of(model, group, uneven));
  }
  if (looked_at == 0) return RuleResult::cannot("no two threads of the program do the same kind of work");
  result.fine = fmt::format("{} of like threads finish together or work independently", plural(looked_at, "group"));
  return result;
}

}  // namespace tailback::analyzers
