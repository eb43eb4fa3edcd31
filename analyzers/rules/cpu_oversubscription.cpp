// SPDX-License-Identifier: Apache-2.0
// More threads of this process want to run than there are CPUs for it, so they spend their time in run queues. Waiting caused
// by other programs is not this rule's matter: only the process's own demand counts.
#include <algorithm>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/rules/cpu_places.h"
#include "analyzers/rules/rules.h"
#include "analyzers/rules/wording.h"

namespace tailback::analyzers {
namespace {

constexpr double kOver = 1.5;                          // own runnable threads per CPU
constexpr double kMediumOver = 3, kHighOver = 4;
constexpr double kWorthSaying = 0.2, kMostOfTheTime = 0.5;  // of wall time
constexpr double kSwitchCost = 3e-6;  // seconds for a switch with the cache misses behind it; 1 to 10 us in the literature

struct Crowding {
  double seconds = 0;    // of wall time with more demand than CPUs
  double wanted = 0;     // threads wanting a CPU in that time, on average
  double waited = 0;     // thread-seconds in run queues in that time
};

Crowding crowding_of(const Model& model) {
  Crowding crowding;
  const double cpus = model.timeline.cpus;
  double thread_seconds = 0;
  for (const ProcessBin& bin : model.timeline.process) {
    const double demand = bin.cpu + bin.run_delay;
    if (bin.length <= 0 || demand < kOver * cpus * bin.length || demand < (cpus + 1) * bin.length) continue;
    crowding.seconds += bin.length;
    crowding.waited += bin.run_delay;
    thread_seconds += demand;
  }
  if (crowding.seconds > 0) crowding.wanted = thread_seconds / crowding.seconds;
  return crowding;
}

const ThreadGroup* largest_waiter(const Model& model) {
  const auto& groups = model.cpu.groups;
  const auto most = std::max_element(groups.begin(), groups.end(), [](const ThreadGroup& a, const ThreadGroup& b) { return a.run_delay_ns < b.run_delay_ns; });
  return most == groups.end() ? nullptr : &*most;
}

std::uint64_t preemptions(const Model& model) {
  std::uint64_t count = 0;
  for (const ThreadLoad& load : thread_loads(model)) count += load.involuntary_switches;
  return count;
}

Gain gain_of(const Model& model, const Crowding& crowding) {
  const double idle_share = 1 - model.timeline.cpus / crowding.wanted;
  const double switching = static_cast<double>(preemptions(model)) * kSwitchCost / (model.timeline.wall_seconds * model.timeline.cpus);
  Gain gain;
  gain.metric = "latency";
  gain.fraction = idle_share / 2;
  gain.low = 0;
  gain.high = idle_share;
  gain.how = fmt::format("time to finish one task: k = {:.1f} tasks sharing n = {:.0f} CPUs all finish late, one after the other they finish after (k+n)/2k of that "
                         "time on average, which saves (1-n/k)/2; unequal tasks save less or nothing. Wall time of the whole gains only the cost of switching, about {}",
                         crowding.wanted, model.timeline.cpus, percent(std::min(switching, 1.0)));
  return bounded(gain);
}

Severity severity_of(const Model& model, const Crowding& crowding) {
  const double over = crowding.wanted / model.timeline.cpus, part = crowding.seconds / model.timeline.wall_seconds;
  if (over >= kHighOver && part >= kMostOfTheTime) return Severity::high;
  return over >= kMediumOver ? Severity::medium : Severity::low;
}

Frame culprit_of(const Model& model, const ThreadGroup& group) {
  const std::vector<CpuSite> sites = sites_of(model, group.stacks);
  return sites.empty() ? frame_at(model, group.start_routine) : sites.front().culprit;
}

Finding finding_of(const Model& model, const Crowding& crowding) {
  const ThreadGroup* group = largest_waiter(model);
  const double waiting = 1 - model.timeline.cpus / crowding.wanted;
  Finding finding;
  finding.rule = "cpu-oversubscription";
  finding.severity = severity_of(model, crowding);
  finding.confidence = 0.85;
  finding.title = fmt::format("{:.0f} threads at a time want {:.0f} CPUs: each spends {} of its time waiting in a run queue", crowding.wanted, model.timeline.cpus,
                              percent(waiting));
  finding.gain = gain_of(model, crowding);
  finding.evidence = {seconds_evidence("time threads waited for a CPU, summed", crowding.waited), count_evidence("threads wanting a CPU at a time", crowding.wanted, "threads"),
                      count_evidence("CPUs the process may use", model.timeline.cpus, "CPUs"),
                      fraction_evidence("part of wall time with more demand than CPUs", crowding.seconds / model.timeline.wall_seconds),
                      count_evidence("preemptions", static_cast<double>(preemptions(model)), "switches")};
  if (group) {
    finding.culprit = culprit_of(model, *group);
    finding.evidence.push_back(count_evidence(fmt::format("threads of {}", group->label), static_cast<double>(group->thread_count), "threads"));
    finding.stacks = cpu_stacks(model, group->stacks, 1);
    for (StackEvidence& stack : creator_stack(model, group->creation_stack, static_cast<double>(group->thread_count), "threads")) finding.stacks.push_back(std::move(stack));
  }
  finding.advice = {fmt::format("run such work in a pool of {:.0f} threads (std::thread::hardware_concurrency, less in a container with a CPU quota) with a queue in front", model.timeline.cpus),
                    "keep further threads only for work that blocks"};
  finding.verify = fmt::format("{}; run-queue delay should fall to nearly nothing at the same CPU time", record_again(model));
  return finding;
}

}  // namespace

RuleResult cpu_oversubscription(const Model& model) {
  if (!model.timeline.has_run_delay) return RuleResult::cannot("this machine gives no run-queue delay of threads");
  if (model.timeline.wall_seconds <= 0 || model.timeline.process.empty()) return RuleResult::cannot("the recording holds no stretch of time");
  const Crowding crowding = crowding_of(model);
  RuleResult result;
  if (crowding.seconds >= kWorthSaying * model.timeline.wall_seconds) result.findings.push_back(finding_of(model, crowding));
  else
    result.fine = fmt::format("more than {:.1f} threads per CPU wanted to run for {} of wall time only", kOver, percent(crowding.seconds / model.timeline.wall_seconds));
  return result;
}

}  // namespace tailback::analyzers
