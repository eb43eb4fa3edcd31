// SPDX-License-Identifier: Apache-2.0
// All threads of a pool are busy while work waits. What more threads would bring depends on what the tasks do: much where they wait for
// others, as much as there are idle CPUs where they compute, nothing where the CPUs are taken; where they wait for each other the cause
// lies elsewhere.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/rules/call_places.h"
#include "analyzers/rules/pool_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

constexpr double kToTheEnd = 0.9;     // of wall time: then the program waits for the pool
constexpr double kWorthSaying = 0.05; // gain
constexpr double kHalf = 0.5;

double busy_until(const Pool& pool) {
  double until = 0;
  for (const PoolBin& bin : pool.bins)
    if (bin.alive > 0 && bin.busy >= kHalf * bin.alive) until = bin.start + bin.length;
  return until;
}

std::string sizes(const Pool& pool, const PoolPlan& plan) { return fmt::format("replayed with {:.0f} threads instead of {}", plan.size, pool.size()); }

// Nobody was seen to bring work while all were busy: whether any waited is a guess.
Gain gain_unseen(const Model& model, const Pool& pool, const PoolPlan& plan) {
  const double saturated = pool.seconds_above(model.thresholds.pool_saturated_utilization);
  Gain gain;
  gain.high = (1 - static_cast<double>(pool.size()) / plan.size) * std::min(1.0, saturated / model.timeline.wall_seconds);
  gain.fraction = kHalf * gain.high;
  gain.how = fmt::format("{}, if work waits all the time in which all are busy; nothing if none does: this pool tells nobody of work while it is busy", sizes(pool, plan));
  return bounded(gain);
}

Gain gain_of(const Model& model, const Pool& pool, const PoolPlan& plan) {
  if (!plan.now.known) return gain_unseen(model, pool, plan);
  const double wall = model.timeline.wall_seconds, saved = plan.now.finish - plan.after.finish;
  Gain gain;
  if (busy_until(pool) >= kToTheEnd * wall && saved >= kWorthSaying * wall) {
    gain.fraction = gain.high = saved / wall;
    gain.how = fmt::format("{}: the {:.0f} tasks that came would be done after {} instead of {}", sizes(pool, plan), pool.tasks, duration(plan.after.finish), duration(plan.now.finish));
  } else {
    const double before = plan.now.wait + pool.service(), after = plan.after.wait + pool.service();
    gain.metric = "latency";
    gain.fraction = gain.high = before > 0 ? 1 - after / before : 0;
    gain.how = fmt::format("{}: a task would wait {} instead of {} before its {} begin", sizes(pool, plan), duration(plan.after.wait), duration(plan.now.wait), duration(pool.service()));
  }
  gain.how += plan.limited_by_cpus ? "; the CPUs set that limit" : "; if what the tasks wait for can take as many at a time";
  gain.low = kHalf * gain.fraction;
  return bounded(gain);
}

Finding finding_of(const Model& model, const Pool& pool, const PoolPlan& plan, Gain gain) {
  Finding finding;
  const bool seen = plan.now.known;
  finding.severity = std::min(severity_by_part(gain.fraction), seen ? Severity::high : Severity::medium);
  finding.confidence = seen ? 0.8 : 0.4;
  finding.culprit = task_of(model, pool);
  const double part = pool.seconds_above(model.thresholds.pool_saturated_utilization) / model.timeline.wall_seconds;
  finding.title = fmt::format("{} are all busy for {} of wall time{}", pool_name(pool), percent(std::min(1.0, part)),
                              seen ? fmt::format(": tasks of {} wait {} for one of them", duration(pool.service()), duration(plan.now.wait)) : std::string());
  finding.gain = std::move(gain);
  finding.evidence = pool_evidence(model, pool);
  if (seen) finding.evidence.push_back(seconds_evidence(fmt::format("expected wait with {:.0f} threads", plan.size), plan.after.wait));
  finding.stacks = pool_stacks(model, pool);
  finding.advice = {fmt::format("give the pool {:.0f} threads{}: {:.1f} are busy at the busiest time, and two standard deviations more keep tasks from waiting", plan.size,
                                how_to_size(model, pool), plan.load)};
  if (!seen) finding.advice = {fmt::format("try {:.0f} threads{}: the tasks stand still for {} of their time, so CPUs are free for more", plan.size, how_to_size(model, pool),
                                           percent(pool.blocked() / pool.busy))};
  if (pool.blocked() >= kHalf * pool.busy) finding.advice.push_back("or let tasks start what they wait for and give their thread back until it is done (asynchronous calls, coroutines)");
  finding.verify = fmt::format("{}; the pool's busy part should fall below {}", record_again(model), percent(model.thresholds.pool_saturated_utilization));
  return finding;
}

Finding no_use(const Model& model, const Pool& pool, const std::string& because) {
  Finding finding;
  finding.severity = Severity::info;
  finding.confidence = 0.8;
  finding.culprit = task_of(model, pool);
  finding.title = fmt::format("{} are all busy, and more threads would bring {}", pool_name(pool), because);
  finding.evidence = pool_evidence(model, pool);
  finding.stacks = pool_stacks(model, pool);
  finding.verify = record_again(model);
  return finding;
}

Finding cpus_taken(const Model& model, const Pool& pool) {
  Finding finding = no_use(model, pool, fmt::format("nothing: the {:.0f} CPUs are taken", model.timeline.cpus));
  finding.gain.how = "the tasks compute, and all CPU time that the process may have is used";
  finding.advice = {"make the tasks cheaper, or give the process more CPUs; a larger pool only lets more of them wait for a CPU"};
  return finding;
}

Finding served_no_faster(const Model& model, const Pool& pool) {
  const Scalability& law = pool.scaling.law;
  Finding finding = no_use(model, pool, "little: what the tasks wait for serves hardly more of them at a time");
  finding.gain.how = fmt::format("requests finished against requests under way, by the universal scalability law (mean error {}): {:.0f} a second with {:.1f} under way, {:.0f} with {:.1f}",
                                 percent(law.error), law.throughput(law.lowest), law.lowest, law.throughput(law.highest), law.highest);
  if (law.best() > 0 && law.best() < law.highest) finding.gain.how += fmt::format("; most with {:.1f}", law.best());
  finding.advice = {"make each request cheaper for whoever serves it, ask for several things at once, or ask less often (a cache); a larger pool only lets more requests wait there"};
  return finding;
}

}  // namespace

RuleResult pool_saturated(const Model& model) {
  if (!model.pools.missing.empty()) return RuleResult::cannot(model.pools.missing);
  if (model.pools.all.empty()) return RuleResult::cannot("no threads were found that wait for work together");
  RuleResult result;
  double busiest = 0;
  for (const Pool& pool : model.pools.all) {
    busiest = std::max(busiest, pool.utilization());
    const PoolTrouble trouble = trouble_of(model, pool);
    if (trouble == PoolTrouble::cpus) result.findings.push_back(cpus_taken(model, pool));
    if (trouble != PoolTrouble::size) continue;
    const PoolPlan plan = plan_of(pool, free_cpus(model, pool));
    if (plan.limited_by_waits) result.findings.push_back(served_no_faster(model, pool));
    Gain gain = gain_of(model, pool, plan);
    if (plan.size > static_cast<double>(pool.size()) && gain.fraction >= kWorthSaying) result.findings.push_back(finding_of(model, pool, plan, std::move(gain)));
  }
  result.fine = fmt::format("the threads of {} wait for work between tasks; the busiest pool uses {} of its time", plural(model.pools.all.size(), "pool"), percent(busiest));
  return result;
}

}  // namespace tailback::analyzers
