// SPDX-License-Identifier: Apache-2.0
// Tasks wait in long queues in front of a pool that has time for them on the whole (bursts), or whose CPUs or locks are the limit. A pool
// that is too small has a rule of its own.
#include <algorithm>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/rules/pool_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

constexpr double kNoticed = 0.05;  // seconds of waiting: below, a queue may be as long as it likes
constexpr double kMuchLonger = 50;  // times a task's own work
constexpr double kOngoing = 0.5;  // of its life in which tasks come: all at once is a batch, whose queue nobody waits for

bool tasks_keep_coming(const Pool& pool) {
  double coming = 0, all = 0;
  for (const PoolBin& bin : pool.bins) {
    if (bin.alive <= 0) continue;
    all += bin.length;
    if (bin.tasks > 0) coming += bin.length;
  }
  return coming >= kOngoing * all;
}

// No other rule says what to do: a pool that is too small has one, unless the CPUs leave no room for more threads.
bool is_untold(const Model& model, const Pool& pool, PoolTrouble trouble) {
  if (trouble == PoolTrouble::size) return plan_of(pool, free_cpus(model, pool)).size <= static_cast<double>(pool.size());
  return trouble == PoolTrouble::none || trouble == PoolTrouble::cpus || trouble == PoolTrouble::locks;
}

const char* remedy_of(const Model& model, const Pool& pool, PoolTrouble trouble) {
  constexpr const char* kServed = "what the tasks wait for is the limit: make its requests cheaper or fewer, or take in no more than can be done (a bounded queue, an early refusal)";
  if (trouble == PoolTrouble::size && plan_of(pool, free_cpus(model, pool)).limited_by_waits) return kServed;
  if (trouble == PoolTrouble::cpus) return "the CPUs are the limit: make the tasks cheaper, or take in no more than can be done (a bounded queue, an early refusal)";
  if (trouble == PoolTrouble::locks) return "the tasks wait for a lock: see what is said about it";
  return "tasks come in bursts: spread them out, let short or urgent ones pass (a queue or priority of their own), or let the pool grow for a while when its queue does";
}

Finding finding_of(const Model& model, const Pool& pool, const PoolQueue& queue, PoolTrouble trouble) {
  const double response = queue.wait + pool.service();
  Finding finding;
  const bool serious = queue.length >= model.thresholds.queue_serious_length || queue.wait >= kMuchLonger * pool.service();
  finding.severity = serious && queue.wait >= kNoticed ? Severity::medium : Severity::low;
  finding.confidence = 0.6;
  finding.culprit = task_of(model, pool);
  finding.title = fmt::format("tasks wait {} in front of {}, {:.0f} at a time, for {} of work each", duration(queue.wait), pool_name(pool), queue.length, duration(pool.service()));
  finding.gain.metric = "latency";
  finding.gain.fraction = finding.gain.high = response > 0 ? queue.wait / response : 0;
  finding.gain.how = fmt::format("the wait as a part of the time from being brought to being done; {}", queue.how);
  finding.gain = bounded(finding.gain);
  finding.evidence = pool_evidence(model, pool);
  finding.stacks = pool_stacks(model, pool);
  finding.advice = {remedy_of(model, pool, trouble)};
  finding.verify = fmt::format("{}; the mean wait in the queue should fall", record_again(model));
  return finding;
}

}  // namespace

RuleResult task_queue_wait(const Model& model) {
  if (!model.pools.missing.empty()) return RuleResult::cannot(model.pools.missing);
  RuleResult result;
  double longest = 0;
  std::size_t known = 0;
  for (const Pool& pool : model.pools.all) {
    const PoolQueue queue = queue_of(pool);
    if (!queue.known) continue;
    ++known;
    longest = std::max(longest, queue.wait);
    const PoolTrouble trouble = trouble_of(model, pool);
    if (is_untold(model, pool, trouble) && queue.length >= model.thresholds.queue_warning_length && tasks_keep_coming(pool) && !bringers_are_held(model, pool)) result.findings.push_back(finding_of(model, pool, queue, trouble));
  }
  if (known == 0) return RuleResult::cannot("no pool was found whose tasks can be counted");
  result.fine = fmt::format("tasks wait {} at most in front of {}", duration(longest), plural(known, "pool"));
  return result;
}

}  // namespace tailback::analyzers
