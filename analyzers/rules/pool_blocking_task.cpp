// SPDX-License-Identifier: Apache-2.0
// A few tasks of a pool stand still for long, and the others wait until those are done although they need nothing but a thread.
#include <algorithm>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/model/queueing.h"
#include "analyzers/rules/call_places.h"
#include "analyzers/rules/pool_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

constexpr double kWorthSaying = 0.05;

// The tasks' answers on average, with those that stand still in threads of their own.
double mean_response_apart(const Pool& pool, const Obstacle& obstacle) {
  const double slow = std::min(obstacle.calls, pool.tasks), quick_service = std::max(0.0, pool.busy - obstacle.seconds) / pool.tasks;
  const double span = std::max(1e-9, pool.end - pool.begin), threads = static_cast<double>(pool.size());
  const double load = std::min(0.98 * threads, pool.tasks * quick_service / span);
  return mean_wait(threads, load, quick_service) + quick_service + obstacle.seconds / pool.tasks * (slow > 0 ? 1 : 0);
}

Gain gain_of(const Pool& pool, const Obstacle& obstacle) {
  const PoolQueue queue = queue_of(pool);
  const double before = queue.wait + pool.service(), after = mean_response_apart(pool, obstacle);
  Gain gain;
  gain.metric = "latency";
  gain.fraction = gain.high = before > 0 ? std::max(0.0, 1 - after / before) : 0;
  gain.low = 0.5 * gain.fraction;
  gain.how = fmt::format("replayed with the {:.0f} tasks that wait there in threads of their own: all tasks are done {} after they came, on average, instead of {}", obstacle.calls,
                         duration(after), duration(before));
  return bounded(gain);
}

Finding finding_of(const Model& model, const Pool& pool, const Obstacle& obstacle, Gain gain) {
  Finding finding;
  finding.severity = severity_by_part(gain.fraction);
  finding.confidence = 0.8;
  finding.culprit = obstacle.culprit;
  finding.title = fmt::format("{} of the tasks of {} wait for {} in {}, {} each, and take {} of the pool's busy time: the others queue behind them",
                              percent(std::min(1.0, obstacle.calls / pool.tasks)), pool_name(pool), to_string(obstacle.cause), obstacle.culprit.function,
                              duration(obstacle.seconds / std::max(1.0, obstacle.calls)), percent(obstacle.seconds / pool.busy));
  finding.gain = std::move(gain);
  finding.evidence = pool_evidence(model, pool);
  finding.stacks = pool_stacks(model, pool);
  finding.advice = {fmt::format("run what waits in {} in a pool of its own, with as many threads as such waits happen at a time", obstacle.culprit.function),
                    fmt::format("or give this one more threads{}, as many as such waits happen at a time beside the other tasks", how_to_size(model, pool)),
                    "or make the wait asynchronous: the task gives its thread back and goes on when the answer is there"};
  finding.verify = fmt::format("{}; tasks should hardly find all threads busy", record_again(model));
  return finding;
}

}  // namespace

RuleResult pool_blocking_task(const Model& model) {
  if (!model.pools.missing.empty()) return RuleResult::cannot(model.pools.missing);
  if (model.pools.all.empty()) return RuleResult::cannot("no threads were found that wait for work together");
  RuleResult result;
  for (const Pool& pool : model.pools.all) {
    if (trouble_of(model, pool) != PoolTrouble::few_tasks) continue;
    const std::vector<Obstacle> obstacles = obstacles_of(model, pool);
    if (Gain gain = gain_of(pool, obstacles.front()); gain.fraction >= kWorthSaying) result.findings.push_back(finding_of(model, pool, obstacles.front(), std::move(gain)));
  }
  result.fine = fmt::format("no pool of {} is kept busy by a few tasks that stand still", model.pools.all.size());
  return result;
}

}  // namespace tailback::analyzers
