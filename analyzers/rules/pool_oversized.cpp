// SPDX-License-Identifier: Apache-2.0
// A pool keeps many more threads than its work ever needs. A pool that nothing was asked of says nothing about its size.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/model/queueing.h"
#include "analyzers/rules/pool_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

constexpr double kFewestTasks = 50, kShortest = 1;  // seconds
constexpr std::size_t kSmall = 8;                   // threads: fewer cost nothing worth a thought
constexpr double kFewTimes = 4;                     // what the work needs
constexpr double kMany = 32;                        // threads too many: medium
constexpr double kFewestKept = 2;
// Resident bytes of a thread: the touched pages of its stack and its thread block; more where tasks use deep stacks or buffers in them.
constexpr double kLeastOfThread = 12 * 1024, kUsualOfThread = 20 * 1024, kMuchOfThread = 128 * 1024;

double needed(const Pool& pool) { return std::max(kFewestKept, staffing(pool.most_busy())); }

double calls_for_work(const Pool& pool) {
  double calls = 0;
  for (const PoolMember& member : pool.members) calls += member.calls_for_work;
  return calls;
}

bool is_oversized(const Model& model, const Pool& pool) {
  if (pool.size() < kSmall || pool.end - pool.begin < kShortest || std::max(pool.tasks, calls_for_work(pool)) < kFewestTasks) return false;
  return pool.utilization() <= model.thresholds.pool_oversized_utilization && static_cast<double>(pool.size()) >= kFewTimes * needed(pool);
}

Gain gain_of(const Model& model, double spare) {
  double resident = 0;
  for (const trace::ProcessState& state : model.recording.process) resident = std::max(resident, static_cast<double>(state.rss_bytes));
  resident -= std::min(resident, static_cast<double>(model.recording.overhead.memory_bytes));
  Gain gain;
  gain.metric = "memory";
  if (resident > 0) gain.fraction = spare * kUsualOfThread / resident, gain.low = spare * kLeastOfThread / resident, gain.high = spare * kMuchOfThread / resident;
  gain.how = fmt::format("{:.0f} threads with 12 to 128 KiB of resident stack each, of the process's resident memory", spare);
  return bounded(gain);
}

Finding finding_of(const Model& model, const Pool& pool) {
  const double keep = needed(pool), spare = static_cast<double>(pool.size()) - keep;
  const std::vector<StackEvidence> creator = creator_stack(model, pool.group->creation_stack, static_cast<double>(pool.size()), "threads");
  Finding finding;
  finding.severity = spare >= kMany ? Severity::medium : Severity::low;
  finding.confidence = 0.7;
  finding.culprit = pool.group->creation_stack ? own_frame(model, pool.group->creation_stack) : frame_at(model, pool.group->start_routine);
  finding.title = fmt::format("{} are busy for {} of their time: {:.0f} would do", pool_name(pool), percent(pool.utilization()), keep);
  finding.gain = gain_of(model, spare);
  finding.evidence = pool_evidence(model, pool);
  finding.evidence.push_back(count_evidence("most busy threads, over half a second", pool.most_busy(), "threads"));
  finding.stacks = creator;
  finding.advice = {fmt::format("start with {:.0f} threads; let the pool grow when work waits, where bursts come that this recording did not show", keep)};
  finding.verify = fmt::format("{}; tasks should not begin to wait", record_again(model));
  return finding;
}

}  // namespace

RuleResult pool_oversized(const Model& model) {
  if (!model.pools.missing.empty()) return RuleResult::cannot(model.pools.missing);
  if (model.pools.all.empty()) return RuleResult::cannot("no threads were found that wait for work together");
  RuleResult result;
  for (const Pool& pool : model.pools.all)
    if (is_oversized(model, pool)) result.findings.push_back(finding_of(model, pool));
  result.fine = fmt::format("none of {} keeps many more threads than its work needs, or too little was asked of it to say", plural(model.pools.all.size(), "pool"));
  return result;
}

}  // namespace tailback::analyzers
