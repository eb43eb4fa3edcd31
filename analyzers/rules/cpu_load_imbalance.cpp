// SPDX-License-Identifier: Apache-2.0
// Threads that share one piece of work finish far apart, and the last one decides when it is done (uneven_work.h).
#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/model/main_in_group.h"
#include "analyzers/model/uneven_work.h"
#include "analyzers/rules/cpu_places.h"
#include "analyzers/rules/rules.h"
#include "analyzers/rules/wording.h"

namespace tailback::analyzers {
namespace {

constexpr double kWorthSaying = 0.05, kMedium = 0.12, kHigh = 0.25;  // gain in wall time

Gain gain_of(const UnevenWork& uneven) {
  Gain gain;
  gain.metric = "wall_time";
  gain.fraction = gain.high = uneven.gain;
  gain.low = uneven.gain * 0.5;
  gain.how = fmt::format("(longest - even share) / longest of the CPU time of {} threads, times the length of the phase: {} of wall time; half of it when the work "
                         "cannot be divided evenly", uneven.threads, percent(uneven.gain));
  return bounded(gain);
}

Finding finding_of(const Model& model, const ThreadGroup& group, const UnevenWork& uneven) {
  const std::vector<StackWeight> stacks = stacks_of_thread(model, uneven.last);
  const std::vector<CpuSite> sites = sites_of(model, stacks);
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
  RuleResult result;
  std::size_t looked_at = 0;
  for (const ThreadGroup& group : model.cpu.groups) {
    const double of_main = part_of_main(model, group);
    if (group.is_main || group.threads.size() + (of_main > 0) < 2) continue;
    ++looked_at;
    const UnevenWork uneven = uneven_work(model, group, loads, of_main);
    if (uneven.gain >= kWorthSaying) result.findings.push_back(finding_of(model, group, uneven));
  }
  if (looked_at == 0) return RuleResult::cannot("no two threads of the program do the same kind of work");
  result.fine = fmt::format("{} of like threads finish together or work independently", plural(looked_at, "group"));
  return result;
}

}  // namespace tailback::analyzers
