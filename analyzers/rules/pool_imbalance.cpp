// SPDX-License-Identifier: Apache-2.0
// Each worker has a queue of its own, and most of the work goes to one of them: tasks wait there while the others idle.
#include <algorithm>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/model/thread_load.h"
#include "analyzers/rules/call_places.h"
#include "analyzers/rules/pool_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

constexpr double kWorthSaying = 0.05;  // gain
constexpr double kToTheEnd = 0.9;

// Shared out evenly, as far as the CPUs can run at a time what now runs one by one, and as the tasks come.
double even_share(const Model& model, const Pool& pool, const PoolMember& busiest) {
  const double mean = pool.busy / static_cast<double>(pool.size());
  const double by_cpus = pool.running / std::max(1.0, std::min(static_cast<double>(pool.size()), free_cpus(model, pool)));
  return std::min(busiest.busy(), std::max({mean, by_cpus, bringers_are_held(model, pool) ? 0 : pool.last_task - pool.begin}));
}

Gain gain_of(const Model& model, const Pool& pool, const PoolMember& busiest) {
  const double wall = model.timeline.wall_seconds, even = even_share(model, pool, busiest), saved = busiest.busy() - even;
  const bool paces = busiest.alive >= kToTheEnd * wall && busiest.busy() >= kToTheEnd * busiest.alive;
  Gain gain;
  gain.metric = paces ? "wall_time" : "latency";
  gain.fraction = gain.high = saved / (paces ? wall : busiest.busy());
  gain.low = 0.5 * gain.fraction;
  gain.how = fmt::format("replayed with the work of all {} threads shared out evenly: {} in each instead of {} in the busiest{}", pool.size(), duration(even), duration(busiest.busy()),
                         paces ? "" : ", as a part of that one's time");
  return bounded(gain);
}

Finding finding_of(const Model& model, const Pool& pool, const PoolMember& busiest, Gain gain) {
  Finding finding;
  finding.severity = severity_by_part(gain.fraction);
  const bool queue_seen = busiest.unheard > 0;
  finding.confidence = queue_seen ? 0.8 : 0.65;
  finding.culprit = task_of(model, pool);
  finding.title = fmt::format("one of {} does {} of the work, and {} while the others idle", pool_name(pool), percent(busiest.busy() / pool.busy),
                              queue_seen ? percent(busiest.unheard / busiest.tasks) + " of its tasks find it busy" : "is busy for " + percent(busiest.busy() / busiest.alive) + " of its time");
  finding.gain = std::move(gain);
  finding.evidence = {text_evidence("busiest thread", thread_label(model, busiest.thread)), seconds_evidence("it was busy", busiest.busy()),
                      seconds_evidence("the others on average", busy_of_others(pool, busiest))};
  if (queue_seen) {
    finding.evidence.push_back(count_evidence("its tasks", busiest.tasks, "tasks"));
    finding.evidence.push_back(fraction_evidence("of them, those that found it busy", busiest.unheard / busiest.tasks));
  }
  for (Evidence& evidence : pool_evidence(model, pool)) finding.evidence.push_back(std::move(evidence));
  const std::vector<StackWeight> own = stacks_of_thread(model, busiest.thread);
  finding.stacks = cpu_stacks(model, own, 1);
  for (StackEvidence& stack : pool_stacks(model, pool)) finding.stacks.push_back(std::move(stack));
  finding.advice = {"let the workers take tasks from one queue, or from each other's when theirs is empty (work stealing)",
                    "where tasks of one key must stay in order, give each key a queue of its own and let any free worker take the next key that has work"};
  finding.verify = fmt::format("{}; the busy times of these threads should be nearly equal", record_again(model));
  return finding;
}

}  // namespace

RuleResult pool_imbalance(const Model& model) {
  if (!model.pools.missing.empty()) return RuleResult::cannot(model.pools.missing);
  RuleResult result;
  std::size_t looked_at = 0;
  for (const Pool& pool : model.pools.all) {
    if (!pool.own_queues) continue;
    ++looked_at;
    if (trouble_of(model, pool) != PoolTrouble::uneven) continue;
    const PoolMember& busiest = busiest_of(pool);
    if (Gain gain = gain_of(model, pool, busiest); gain.fraction >= kWorthSaying) result.findings.push_back(finding_of(model, pool, busiest, std::move(gain)));
  }
  if (looked_at == 0) return RuleResult::cannot("no threads of one kind were found that each have a queue of their own");
  result.fine = fmt::format("the work of {} with a queue for each thread is spread well enough", plural(looked_at, "pool"));
  return result;
}

}  // namespace tailback::analyzers
