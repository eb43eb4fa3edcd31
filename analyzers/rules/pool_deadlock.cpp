// SPDX-License-Identifier: Apache-2.0
// The tasks of a pool wait for tasks of the same pool while all its threads do so: nobody is left to run them. For ever, or until each
// gives up.
#include <algorithm>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/rules/call_places.h"
#include "analyzers/rules/pool_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

Gain gain_of(const Model& model, const Pool& pool, const Obstacle& obstacle, double hangs_since) {
  Gain gain;
  if (hangs_since >= 0) {
    gain.metric = "availability";
    gain.fraction = gain.low = gain.high = 1;
    gain.how = fmt::format("nothing of this pool went on after {}", duration(hangs_since));
    return gain;
  }
  gain.fraction = gain.high = obstacle.seconds / (static_cast<double>(pool.size()) * model.timeline.wall_seconds);
  gain.low = 0.5 * gain.fraction;
  gain.how = fmt::format("replayed without the {} that the {} stood still for tasks which only they could run", duration(obstacle.seconds), plural(pool.size(), "thread"));
  return bounded(gain);
}

Finding finding_of(const Model& model, const Pool& pool, const Obstacle& obstacle, double hangs_since, Gain gain) {
  Finding finding;
  finding.severity = hangs_since >= 0 ? Severity::critical : std::max(Severity::low, severity_by_part(gain.fraction));
  finding.confidence = 0.85;
  finding.culprit = obstacle.culprit;
  finding.title = hangs_since >= 0 ? fmt::format("{} hang since {}: each waits in {} for a task that only they could run", pool_name(pool), duration(hangs_since), obstacle.culprit.function)
                                   : fmt::format("{} wait in {} for tasks that only they could run, for {} of their time", pool_name(pool), obstacle.culprit.function,
                                                 percent(obstacle.seconds / std::max(1e-9, pool.alive)));
  finding.gain = std::move(gain);
  finding.evidence = pool_evidence(model, pool);
  finding.evidence.push_back(count_evidence("tasks brought by the pool's own threads", pool.own_tasks, "tasks"));
  finding.evidence.push_back(count_evidence("of them, when no thread was free", pool.own_unheard, "tasks"));
  finding.stacks = pool_stacks(model, pool);
  finding.advice = {"do not wait inside a task for a task of the same pool: run the second one at once, or as the continuation of what it waits for",
                    "or let a thread that waits take other tasks meanwhile (work stealing), or give inner tasks a pool of their own; a larger pool only needs more of them to hang"};
  finding.verify = fmt::format("{}; the time waiting in {} should vanish", record_again(model), obstacle.culprit.function);
  return finding;
}

}  // namespace

RuleResult pool_deadlock(const Model& model) {
  if (!model.pools.missing.empty()) return RuleResult::cannot(model.pools.missing);
  if (model.pools.all.empty()) return RuleResult::cannot("no threads were found that wait for work together");
  RuleResult result;
  for (const Pool& pool : model.pools.all) {
    if (trouble_of(model, pool) != PoolTrouble::own_tasks) continue;
    for (const Obstacle& obstacle : obstacles_of(model, pool)) {
      if (obstacle.cause != WaitCause::condition && obstacle.cause != WaitCause::futex && obstacle.cause != WaitCause::semaphore && obstacle.cause != WaitCause::barrier) continue;
      const double since = hangs_since(model, pool);
      result.findings.push_back(finding_of(model, pool, obstacle, since, gain_of(model, pool, obstacle, since)));
      break;
    }
  }
  result.fine = fmt::format("no tasks of {} wait for tasks of the same pool", plural(model.pools.all.size(), "pool"));
  return result;
}

}  // namespace tailback::analyzers
