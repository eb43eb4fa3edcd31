// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/pool_queue.h"

#include <algorithm>
#include <cmath>
#include <span>

#include <fmt/format.h>

#include "analyzers/model/queueing.h"

namespace tailback::analyzers {

namespace {

constexpr double kCrowded = 1;       // tasks in the queue on average, from which on the fluid says more than chance does
constexpr double kMostTimes = 16;    // the present size: no plan goes beyond
constexpr double kWorthMore = 0.1;   // of the rate that threads would bring
constexpr double kUsableCpu = 0.9;   // of the CPUs: beyond, tasks wait for one another there

// A bin's tasks: those of its bursts at once, the others evenly between them.
void add_inflows(const PoolBin& bin, double length, std::span<const PoolBurst> bursts, std::vector<Inflow>& inflows) {
  double at_once = 0, now = bin.start;
  for (const PoolBurst& burst : bursts) at_once += burst.tasks;
  const double rate = std::max(0.0, bin.tasks - at_once) / length, end = bin.start + length;
  for (const PoolBurst& burst : bursts) {
    const double at = std::clamp(burst.at, now, end);
    inflows.push_back({now, at - now, rate * (at - now)});
    inflows.push_back({at, 0, burst.tasks});
    now = at;
  }
  inflows.push_back({now, end - now, rate * (end - now)});
}

std::vector<Inflow> inflows_of(const Pool& pool) {
  std::vector<Inflow> inflows;
  auto burst = pool.bursts.begin();
  for (const PoolBin& bin : pool.bins) {
    const auto first = burst;
    while (burst != pool.bursts.end() && burst->at < bin.start + bin.length) ++burst;
    const double length = std::min(bin.length, pool.last_task - bin.start);  // all of the last bin's tasks came before that
    if ((bin.tasks > 0 || !inflows.empty()) && length > 0) add_inflows(bin, length, {first, burst}, inflows);
  }
  return inflows;
}

double span_of(const std::vector<Inflow>& inflows) {
  return inflows.empty() ? 0 : inflows.back().start + inflows.back().length - inflows.front().start;
}

// Tasks that come at random for a pool that keeps up.
double wait_by_chance(const Pool& pool, const std::vector<Inflow>& inflows, double threads) {
  const double span = span_of(inflows);
  const double load = span > 0 ? std::min(pool.busy / span, 0.98 * threads) : 0;
  return mean_wait(threads, load, pool.service());
}

double cpu_of_task(const Pool& pool) { return pool.tasks > 0 ? pool.running / pool.tasks : 0; }

}  // namespace

// What waits in the queue of one thread, no other one takes.
PoolQueue queue_with(const Pool& pool, double threads, double free_cpus) {
  PoolQueue queue;
  if (!pool.counts_tasks() || pool.service() <= 0 || pool.own_queues) return queue;
  const std::vector<Inflow> inflows = inflows_of(pool);
  double rate = threads / (pool.service() * stretched_by(pool, threads));
  if (const double cpu = cpu_of_task(pool); cpu > 0) rate = std::min(rate, free_cpus / cpu);
  const Backlog backlog = backlog_of(inflows, rate);
  queue.known = true;
  queue.longest = backlog.longest, queue.finish = std::max(backlog.finish, pool.last_task) + pool.service();
  if (backlog.mean_length >= kCrowded) {
    queue.wait = backlog.mean_wait, queue.length = backlog.mean_length;
    queue.how = "tasks counted as they came, less those that the threads had time for";
    return queue;
  }
  const double span = span_of(inflows);
  queue.wait = std::max(backlog.mean_wait, wait_by_chance(pool, inflows, threads));
  queue.length = span > 0 ? pool.tasks * queue.wait / span : 0;
  queue.how = "estimated for tasks that come at random (M/M/k)";
  return queue;
}

const PoolPlace* holds_all(const Pool& pool) {
  constexpr double kMostOfBusy = 0.5, kFewOfTasks = 0.2, kFewestTasks = 5, kFoundBusy = 0.1, kBeyondChance = 3;
  if (!pool.counts_tasks() || pool.own_queues || pool.obstacles.empty()) return nullptr;
  const PoolPlace& place = pool.obstacles.front();
  if (place.seconds < kMostOfBusy * pool.busy || place.calls < kFewestTasks || place.calls > kFewOfTasks * pool.tasks) return nullptr;
  const double threads = static_cast<double>(pool.size()), load = pool.utilization() * threads;
  return pool.found_busy() >= std::max(kFoundBusy, kBeyondChance * waiting_probability(threads, load)) ? &place : nullptr;
}

// Who comes while others hold all threads comes in the middle of that, on average.
PoolQueue queue_of(const Pool& pool) {
  const auto threads = static_cast<double>(pool.size());
  PoolQueue queue = queue_with(pool, threads, threads);
  const PoolPlace* held = queue.known ? holds_all(pool) : nullptr;
  const double wait = held ? pool.found_busy() * 0.5 * held->seconds / held->calls : 0;
  if (wait <= queue.wait) return queue;
  const double span = pool.end - pool.begin;
  queue.wait = wait;
  queue.length = span > 0 ? pool.tasks * wait / span : 0;
  queue.how = "tasks that found all threads busy, each half as long as the tasks take that hold them";
  return queue;
}

PoolPlan plan_of(const Pool& pool, double free_cpus) {
  PoolPlan plan;
  const auto now = static_cast<double>(pool.size());
  plan.size = now;
  for (const PoolBin& bin : pool.bins)
    if (bin.length > 0) plan.load = std::max(plan.load, bin.tasks / bin.length * pool.service());
  if (!pool.counts_tasks()) plan.load = 2 * now;  // not known: as much again is a guess
  const double share = pool.busy > 0 ? (pool.running + pool.runnable) / pool.busy : 0;
  const double by_cpus = share > 0 ? std::ceil(kUsableCpu * free_cpus / std::min(1.0, share)) : kMostTimes * now;
  const double wanted = std::min(staffing(plan.load), kMostTimes * now);
  plan.limited_by_cpus = by_cpus < wanted;
  plan.size = std::max(now, std::min(wanted, by_cpus));
  plan.limited_by_waits = plan.size > now && plan.size / stretched_by(pool, plan.size) < (1 + kWorthMore) * now;
  if (plan.limited_by_waits) plan.size = now;
  plan.now = queue_with(pool, now, free_cpus);
  plan.after = queue_with(pool, plan.size, free_cpus);
  return plan;
}

}  // namespace tailback::analyzers
