// SPDX-License-Identifier: Apache-2.0
#include "analyzers/rules/pool_places.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "analyzers/model/pool_queue.h"
#include "analyzers/rules/cpu_places.h"

namespace tailback::analyzers {
namespace {

constexpr double kShortest = 0.25;       // seconds above the threshold
constexpr double kOfItsLife = 0.1;       // likewise
constexpr double kMostOfBusy = 0.5;
constexpr double kFewOfTasks = 0.5;      // that wait at the place
constexpr double kSentByItself = 0.2;    // of its tasks
constexpr double kOnlyByItself = 0.9;    // likewise: no work comes from outside
constexpr double kCpusTaken = 0.85;
constexpr double kLittleTime = 0.5;      // of busy time: standing still is not what the tasks do

bool is_busy(const Model& model, const Pool& pool) {
  const double above = pool.seconds_above(model.thresholds.pool_saturated_utilization);
  return above >= kShortest && above >= kOfItsLife * (pool.end - pool.begin);
}

// Waiting for another thread of the process to be done with something.
double waiting_for_threads(const Pool& pool) {
  return pool.blocked_on(WaitCause::condition) + pool.blocked_on(WaitCause::futex) + pool.blocked_on(WaitCause::semaphore) + pool.blocked_on(WaitCause::barrier);
}

// By this process, or by others of the machine.
bool are_cpus_taken(const Model& model, const Pool& pool) {
  double cpu = 0, seconds = 0;
  for (const PoolBin& bin : pool.bins) {
    if (bin.alive <= 0 || bin.busy < model.thresholds.pool_saturated_utilization * bin.alive) continue;
    for (const ProcessBin& process : model.timeline.process) {
      const double part = std::min(bin.start + bin.length, process.start + process.length) - std::max(bin.start, process.start);
      if (part <= 0 || process.length <= 0) continue;
      cpu += part * std::max(process.cpu / process.length / model.timeline.cpus, process.machine_busy);
      seconds += part;
    }
  }
  return seconds > 0 && cpu >= kCpusTaken * seconds;
}

// Tasks wait for one of the threads while the others have little to do: they are seen to find it busy, or, where bringing work to a busy
// thread wakes nobody, it hardly ever is without any.
bool is_uneven(const Model& model, const Pool& pool) {
  constexpr double kFewestTasks = 20, kFarAbove = 2;
  constexpr double kWaits = 0.3, kBusy = 0.5;  // of the busiest's tasks find it busy; of its life
  if (!pool.own_queues) return false;
  const PoolMember& busiest = busiest_of(pool);
  if (busiest.busy() < kBusy * busiest.alive || busiest.busy() < kFarAbove * busy_of_others(pool, busiest)) return false;
  if (busiest.tasks >= kFewestTasks && busiest.unheard >= kWaits * busiest.tasks) return true;
  const ThreadWaits* waits = model.waits.find(busiest.thread);
  const auto outside = [&](WaitCause cause) { return waits ? waits->designed[static_cast<std::size_t>(cause)] : 0; };  // one may wait for descriptors for all
  const double work = busiest.busy() - outside(WaitCause::poll) - outside(WaitCause::network);
  return work >= model.thresholds.pool_saturated_utilization * busiest.alive && pool.unheard <= 0 && pool.tasks >= kFewestTasks && pool.counts_tasks();
}

// One kind of wait takes most of the time, and most tasks have none of it.
bool few_wait(const Model& model, const Pool& pool) {
  if (!pool.counts_tasks()) return false;
  const std::vector<Obstacle> obstacles = obstacles_of(model, pool);
  return !obstacles.empty() && obstacles.front().seconds >= kMostOfBusy * pool.busy && obstacles.front().calls <= kFewOfTasks * pool.tasks;
}

}  // namespace

PoolTrouble trouble_of(const Model& model, const Pool& pool) {
  if (pool.busy <= 0) return PoolTrouble::none;
  if (is_uneven(model, pool)) return PoolTrouble::uneven;
  if (pool.own_unheard > 0 && hangs_since(model, pool) >= 0) return PoolTrouble::own_tasks;
  if (!is_busy(model, pool)) return holds_all(pool) ? PoolTrouble::few_tasks : PoolTrouble::none;
  const bool needs_itself = pool.own_unheard > 0 && pool.own_unheard >= kSentByItself * pool.tasks;
  if (needs_itself && waiting_for_threads(pool) >= kMostOfBusy * pool.busy) return PoolTrouble::own_tasks;
  if (pool.blocked_on(WaitCause::lock) >= kMostOfBusy * pool.busy) return PoolTrouble::locks;
  if (pool.blocked() < kMostOfBusy * pool.busy && are_cpus_taken(model, pool)) return PoolTrouble::cpus;
  // For work of another kind, for all that is known, or for its time.
  if (!pool.counts_tasks() && waiting_for_threads(pool) + pool.blocked_on(WaitCause::sleep) >= kMostOfBusy * pool.busy) return PoolTrouble::none;
  if (few_wait(model, pool)) return PoolTrouble::few_tasks;
  return pool.own_tasks >= kOnlyByItself * pool.tasks && pool.counts_tasks() ? PoolTrouble::turns : PoolTrouble::size;
}

double hangs_since(const Model& model, const Pool& pool) {
  constexpr std::uint64_t kForLong = 1'000'000'000;
  double since = 0;
  std::size_t waiting = 0;
  for (const BlockedRow& row : model.recording.calls.still_blocked) {
    const bool member = std::any_of(pool.members.begin(), pool.members.end(), [&](const PoolMember& one) { return one.thread == row.key.thread; });
    if (!member) continue;
    const bool for_work = row.key.call == pool.idle_call && pool.queues.contains(row.key.object);
    const trace::CallGroup group = trace::group_of(row.key.call);
    const bool for_thread = group == trace::CallGroup::condition || group == trace::CallGroup::futex || group == trace::CallGroup::semaphore || group == trace::CallGroup::join;
    if (for_work || !for_thread || row.t - row.since < kForLong) return -1;
    ++waiting;
    since = std::max(since, static_cast<double>(row.since) * 1e-9);
  }
  return waiting == pool.size() ? since : -1;
}

const PoolMember& busiest_of(const Pool& pool) {
  return *std::max_element(pool.members.begin(), pool.members.end(), [](const PoolMember& a, const PoolMember& b) { return a.busy() < b.busy(); });
}

double busy_of_others(const Pool& pool, const PoolMember& one) {
  return pool.size() > 1 ? (pool.busy - one.busy()) / static_cast<double>(pool.size() - 1) : 0;
}

bool bringers_are_held(const Model& model, const Pool& pool) {
  constexpr double kMostly = 0.5;  // of its life
  return std::any_of(pool.bringers.begin(), pool.bringers.end(), [&](ThreadId id) {
    const ThreadWaits* waits = model.waits.find(id);
    if (!waits) return false;
    double held = 0;
    for (const WaitCause cause : {WaitCause::futex, WaitCause::condition, WaitCause::semaphore}) held += waits->blocked[static_cast<std::size_t>(cause)];
    return held >= kMostly * waits->alive;
  });
}

double free_cpus(const Model& model, const Pool& pool) {
  const double wall = std::max(1e-9, model.timeline.wall_seconds), all = static_cast<double>(model.cpu.cpu_ns) * 1e-9;
  const double others = std::max(0.0, all - pool.running) / wall;
  return std::max(0.1 * model.timeline.cpus, model.timeline.cpus - others);
}

std::vector<Obstacle> obstacles_of(const Model& model, const Pool& pool) {
  constexpr std::size_t kMostLooked = 100;
  std::map<std::pair<std::string, WaitCause>, Obstacle> by_function;
  for (std::size_t i = 0; i < std::min(pool.obstacles.size(), kMostLooked); ++i) {
    const PoolPlace& place = pool.obstacles[i];
    Frame culprit = place.stack ? own_frame(model, place.stack) : Frame{};
    Obstacle& obstacle = by_function[{culprit.module + culprit.function, place.cause}];
    if (obstacle.seconds <= 0) obstacle.culprit = std::move(culprit), obstacle.cause = place.cause, obstacle.call = place.call;
    obstacle.seconds += place.seconds;
    if (place.call == obstacle.call) obstacle.calls += place.calls;
    if (place.stack && obstacle.stacks.empty()) obstacle.stacks.push_back({"blocked", place.seconds, "seconds", model.symbols->stack(place.stack)});
  }
  std::vector<Obstacle> obstacles;
  for (auto& [key, obstacle] : by_function) obstacles.push_back(std::move(obstacle));
  std::sort(obstacles.begin(), obstacles.end(), [](const Obstacle& a, const Obstacle& b) { return a.seconds > b.seconds; });
  return obstacles;
}

Frame task_of(const Model& model, const Pool& pool) {
  const std::vector<Obstacle> obstacles = obstacles_of(model, pool);
  if (!obstacles.empty() && obstacles.front().seconds >= kLittleTime * pool.blocked() && pool.blocked() >= kLittleTime * pool.busy) return obstacles.front().culprit;
  const std::vector<CpuSite> sites = sites_of(model, pool.group->stacks);
  if (!sites.empty()) return sites.front().culprit;
  return obstacles.empty() ? frame_at(model, pool.group->start_routine) : obstacles.front().culprit;
}

std::string how_to_size(const Model& model, const Pool& pool) {
  const Frame idle = own_frame(model, pool.idle_stack);
  return idle.module.starts_with("libuv.") || idle.function.starts_with("uv_") ? " (UV_THREADPOOL_SIZE)" : "";
}

std::string pool_name(const Pool& pool) { return fmt::format("the {} of {}", plural(pool.size(), "thread"), pool.label); }

std::vector<Evidence> pool_evidence(const Model& model, const Pool& pool) {
  const PoolQueue queue = queue_of(pool);
  std::vector<Evidence> evidence = {count_evidence("threads", static_cast<double>(pool.size()), "threads"), fraction_evidence("busy part of their time", pool.utilization()),
                                    count_evidence("busy threads on average", pool.end > pool.begin ? pool.busy / (pool.end - pool.begin) : 0, "threads")};
  if (pool.busy > 0) evidence.push_back(fraction_evidence("of busy time standing still", pool.blocked() / pool.busy));
  for (const Obstacle& obstacle : obstacles_of(model, pool))
    if (obstacle.seconds >= 0.1 * pool.busy && evidence.size() < 7)
      evidence.push_back(seconds_evidence(fmt::format("waiting for {} in {}", to_string(obstacle.cause), obstacle.culprit.function), obstacle.seconds));
  if (!pool.counts_tasks()) return evidence;
  evidence.push_back(count_evidence("tasks", pool.tasks, "tasks"));
  evidence.push_back(seconds_evidence("mean time of a task", pool.service()));
  evidence.push_back(fraction_evidence("tasks that found all threads busy", pool.unheard / pool.tasks));
  if (!queue.known) return evidence;
  evidence.push_back(seconds_evidence("mean wait in the queue", queue.wait));
  evidence.push_back(count_evidence("longest queue", queue.longest, "tasks"));
  evidence.push_back(text_evidence("the queue's figures", queue.how));
  return evidence;
}

std::vector<StackEvidence> pool_stacks(const Model& model, const Pool& pool) {
  std::vector<StackEvidence> stacks;
  const std::vector<Obstacle> obstacles = obstacles_of(model, pool);
  if (!obstacles.empty() && obstacles.front().seconds >= 0.1 * pool.busy) stacks = obstacles.front().stacks;
  if (pool.running >= 0.3 * pool.busy)
    for (StackEvidence& stack : cpu_stacks(model, pool.group->stacks, 1)) stacks.push_back(std::move(stack));
  for (StackEvidence& stack : creator_stack(model, pool.group->creation_stack, static_cast<double>(pool.size()), "threads")) stacks.push_back(std::move(stack));
  return stacks;
}

}  // namespace tailback::analyzers
