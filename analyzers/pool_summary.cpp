// SPDX-License-Identifier: Apache-2.0
// Thread pools as rows of the report.
#include <algorithm>
#include <map>

#include "analyzers/model/own_frame.h"
#include "analyzers/model/pool_queue.h"
#include "analyzers/summary.h"

namespace tailback::analyzers {

namespace {

constexpr std::size_t kMostRows = 100;

std::vector<WaitRow> waiting_in(const Pool& pool) {
  std::map<WaitCause, double> by_cause;
  for (const PoolPlace& place : pool.obstacles) by_cause[place.cause] += place.seconds;
  std::vector<WaitRow> rows;
  for (const auto& [cause, seconds] : by_cause) rows.push_back({to_string(cause), seconds, 0});
  std::stable_sort(rows.begin(), rows.end(), [](const WaitRow& a, const WaitRow& b) { return a.seconds > b.seconds; });
  return rows;
}

void add_tasks(const Pool& pool, PoolRow& row) {
  row.counted = pool.counts_tasks();
  if (!row.counted) return;
  row.tasks = pool.tasks, row.tasks_unheard = pool.unheard, row.service_seconds = pool.service();
  row.tasks_per_second = pool.end > pool.begin ? pool.tasks / (pool.end - pool.begin) : 0;
  const PoolQueue queue = queue_of(pool);
  row.queue_wait_seconds = queue.wait, row.queue_length = queue.length, row.queue_longest = queue.longest, row.queue_how = queue.how;
}

PoolRow row_of(const Model& model, const Pool& pool) {
  PoolRow row;
  row.name = pool.label;
  row.idle_place = own_frame(model, pool.idle_stack);
  row.threads = pool.size();
  row.utilization = pool.utilization();
  row.busy_seconds = pool.busy, row.idle_seconds = std::max(0.0, pool.alive - pool.busy), row.running_seconds = pool.running, row.runnable_seconds = pool.runnable;
  row.waiting = waiting_in(pool);
  row.most_busy_threads = pool.most_busy();
  row.saturated_seconds = pool.seconds_above(model.thresholds.pool_saturated_utilization);
  for (const PoolMember& member : pool.members)
    if (pool.busy > 0) row.busiest_fraction = std::max(row.busiest_fraction, member.busy() / pool.busy);
  add_tasks(pool, row);
  if (pool.group->creation_stack) row.creation_stack = model.symbols->stack(pool.group->creation_stack);
  return row;
}

}  // namespace

std::vector<PoolRow> pool_rows(const Model& model) {
  std::vector<PoolRow> rows;
  for (const Pool& pool : model.pools.all) {
    if (rows.size() == kMostRows) break;
    rows.push_back(row_of(model, pool));
  }
  return rows;
}

}  // namespace tailback::analyzers
