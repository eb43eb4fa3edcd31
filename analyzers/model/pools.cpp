// SPDX-License-Identifier: Apache-2.0
// A pool's threads wait for work at the place that is nearest to the root of their stacks among those they come back to: what a task
// waits for lies deeper.
#include "analyzers/model/pools.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "analyzers/model/interpreter_lock.h"
#include "analyzers/model/program_functions.h"
#include "analyzers/model/queueing.h"

namespace tailback::analyzers {

namespace {

using trace::Call;
using trace::CallGroup;

constexpr std::size_t kFewestMembers = 2;
constexpr double kComesBack = 3;        // times that a member waits on one thing, or that it is told of work
constexpr double kPostsAsIts = 0.5;     // of its waits for a semaphore
constexpr double kOfMembers = 0.5;      // that were seen at the place
constexpr double kShortestBin = 0.5;    // seconds: what the agent sums up over
constexpr double kMostBins = 4000;
constexpr double kDrizzle = 0.02;       // of tasks that found all busy, in a pool that is

bool is_before(const PoolMember& member, ThreadId id) { return member.thread < id; }

double seconds(std::uint64_t ns) { return static_cast<double>(ns) * 1e-9; }

// Where a thread may wait for work that others bring.
bool waits_for_work(const Recording& recording, const CallKey& key) {
  if (is_wake(key.call)) return false;
  switch (trace::group_of(key.call)) {
    case CallGroup::condition: case CallGroup::semaphore: case CallGroup::futex: return true;
    case CallGroup::connection: return key.call == Call::accept;
    case CallGroup::input: {
      const EndpointRow& endpoint = recording.calls.endpoints[key.object < recording.calls.endpoints.size() ? key.object : 0];
      return endpoint.kind == trace::EndpointKind::eventfd || (endpoint.kind == trace::EndpointKind::pipe && !is_answered_by_child(recording, key.object));
    }
    default: return false;
  }
}

class StackDepths {
 public:
  explicit StackDepths(const Recording& recording) : nodes_(recording.nodes), depths_(nodes_.size()) {
    for (StackId id = 1; id < nodes_.size(); ++id) depths_[id] = depths_[nodes_[id].parent] + 1;
  }
  std::uint32_t of(StackId stack) const { return stack < depths_.size() ? depths_[stack] : 0; }

 private:
  const std::vector<NodeRow>& nodes_;
  std::vector<std::uint32_t> depths_;
};

// A place at which members of a group wait, by the function of the program that does.
struct Candidate {
  std::set<ThreadId> threads;
  std::map<std::uint64_t, double> calls;           // by object
  std::map<std::pair<ThreadId, std::uint64_t>, double> visits;
  std::vector<const CallSite*> sites;              // most time first
  std::uint32_t depth = ~0u;                       // of the shallowest stack
  StackId stack = 0;
  double seconds = 0, most_visits = 0;
};

class PoolFinder {
 public:
  PoolFinder(const Recording& recording, const Symbols& symbols, const Timeline& timeline, const Waits& waits)
      : recording_(recording), symbols_(symbols), timeline_(timeline), waits_(waits), depths_(recording), functions_(recording, symbols) {
    for (const CallSite& site : waits.sites) sites_[site.key.thread].push_back(&site);
    for (const CallRow& row : recording.calls.rows)
      if (is_wake(row.key.call)) wakes_[row.key.object] += static_cast<double>(row.counts.calls), posts_[{row.key.thread, row.key.object}] += static_cast<double>(row.counts.calls);
  }

  // Nothing when the group is no pool.
  bool find(const ThreadGroup& group, Pool& pool) {
    if (group.is_main || group.threads.size() < kFewestMembers) return false;
    const std::map<FunctionId, Candidate> candidates = candidates_of(group);
    const Candidate* idle = idle_place(group, candidates);
    if (!idle) return false;
    pool.group = &group;
    pool.label = group.label.find("{") == std::string::npos ? group.label : symbols_.function_name(functions_.innermost(idle->stack));  // "{lambda#1}" tells nothing
    pool.idle_stack = idle->stack;
    pool.idle_call = idle->sites.front()->key.call;
    for (const auto& [object, calls] : idle->calls) pool.queues.insert(object);
    add_members(*idle, pool);
    if (pool.own_queues) find_owners(*idle, pool);
    add_tasks(pool);
    add_bins(pool);
    add_obstacles(*idle, pool);
    pool.scaling = scaling_of(recording_, pool);
    return pool.alive > 0;
  }

 private:
  // A semaphore that a thread posts as often as it waits for it guards something; an interpreter's lock is a condition.
  bool is_lock(const CallSite& site) const {
    if (trace::group_of(site.key.call) == CallGroup::semaphore) {
      const auto posts = posts_.find({site.key.thread, site.key.object});
      return posts != posts_.end() && posts->second >= kPostsAsIts * site.calls;
    }
    return site.key.call == Call::cond_wait && takes_interpreter_lock(recording_, symbols_, site.stack);
  }

  std::map<FunctionId, Candidate> candidates_of(const ThreadGroup& group) {
    std::map<FunctionId, Candidate> candidates;
    for (const ThreadId thread : group.threads) {
      const auto sites = sites_.find(thread);
      if (sites == sites_.end()) continue;
      for (const CallSite* site : sites->second) {
        if (!site->stack || !waits_for_work(recording_, site->key) || is_lock(*site)) continue;
        Candidate& candidate = candidates[functions_.innermost(site->stack)];
        candidate.threads.insert(thread);
        candidate.calls[site->key.object] += site->calls;
        double& visits = candidate.visits[{thread, site->key.object}];
        visits += site->calls;
        candidate.most_visits = std::max(candidate.most_visits, visits);
        candidate.sites.push_back(site);
        candidate.seconds += site->seconds;
        if (depths_.of(site->stack) < candidate.depth) candidate.depth = depths_.of(site->stack), candidate.stack = site->stack;
      }
    }
    return candidates;
  }

  // Threads come back to it, or are told of work there: unlike the gate at which they once wait to begin, or the answer to one task.
  bool is_lasting(const Candidate& candidate) const {
    if (candidate.most_visits >= kComesBack) return true;
    return std::any_of(candidate.calls.begin(), candidate.calls.end(), [&](const auto& object) {
      const auto wakes = wakes_.find(object.first);
      return wakes != wakes_.end() && wakes->second >= kComesBack;
    });
  }

  const Candidate* idle_place(const ThreadGroup& group, const std::map<FunctionId, Candidate>& candidates) const {
    const Candidate* best = nullptr;
    for (const auto& [function, candidate] : candidates) {
      if (static_cast<double>(candidate.threads.size()) < kOfMembers * static_cast<double>(group.threads.size()) || !is_lasting(candidate)) continue;
      if (!best || candidate.depth < best->depth || (candidate.depth == best->depth && candidate.seconds > best->seconds)) best = &candidate;
    }
    return best;
  }

  void add_members(const Candidate& idle, Pool& pool) const {
    std::map<ThreadId, std::pair<double, double>> waited;  // seconds, calls
    std::map<std::uint64_t, std::set<ThreadId>> users;
    for (const CallSite* site : idle.sites) {
      waited[site->key.thread].first += site->seconds, waited[site->key.thread].second += site->calls;
      users[site->key.object].insert(site->key.thread);
    }
    pool.own_queues = users.size() > 1 && std::all_of(users.begin(), users.end(), [](const auto& object) { return object.second.size() == 1; });
    pool.begin = timeline_.wall_seconds;
    for (const ThreadId thread : pool.group->threads) {
      const ThreadWaits* waits = waits_.find(thread);
      const ThreadTable::Row* row = recording_.threads.find(thread);
      if (!waits || !row || waits->alive <= 0) continue;
      PoolMember member{.thread = thread, .alive = waits->alive, .running = waits->running, .runnable = waits->runnable};
      member.idle = std::min(waited[thread].first, std::max(0.0, member.alive - member.running));
      member.calls_for_work = waited[thread].second;
      pool.alive += member.alive, pool.busy += member.busy();
      pool.running += member.running, pool.runnable += member.runnable;
      pool.begin = std::min(pool.begin, seconds(row->start_ns));
      pool.end = std::max(pool.end, seconds(row->end_ns.value_or(recording_.to_ns)));
      pool.members.push_back(member);
    }
    std::sort(pool.members.begin(), pool.members.end(), [](const PoolMember& a, const PoolMember& b) { return a.thread < b.thread; });
  }

  // A member that always finds work has never waited for it: its queue is the one left over to which work is brought from the same places.
  void find_owners(const Candidate& idle, Pool& pool) {
    std::set<ThreadId> without;
    for (const PoolMember& member : pool.members) without.insert(member.thread);
    owners_.clear();
    for (const CallSite* site : idle.sites) owners_[site->key.object] = site->key.thread, without.erase(site->key.thread);
    if (without.size() != 1) return;
    std::set<StackId> bringers;
    for (const CallStackRow& row : recording_.calls.stacks)
      if (is_wake(row.key.call) && row.stack && pool.queues.contains(row.key.object)) bringers.insert(row.stack);
    std::map<std::uint64_t, double> unknown;
    for (const CallStackRow& row : recording_.calls.stacks)
      if (is_wake(row.key.call) && bringers.contains(row.stack) && !pool.queues.contains(row.key.object)) unknown[row.key.object] += static_cast<double>(row.counts.calls);
    for (const CallSite& site : waits_.sites)
      if (waits_for_work(recording_, site.key)) unknown.erase(site.key.object);  // somebody else waits there
    if (unknown.size() != 1) return;
    pool.queues.insert(unknown.begin()->first);
    owners_[unknown.begin()->first] = *without.begin();
  }

  // Of queues in descriptors, the reads are the tasks; of all others, who brought them.
  void add_tasks(Pool& pool) {
    const bool by_reading = trace::works_on_endpoint(trace::group_of(pool.idle_call));
    for (const CallRow& row : recording_.calls.rows) {
      if (!pool.queues.contains(row.key.object)) continue;
      if (waits_for_work(recording_, row.key)) pool.waits += static_cast<double>(row.counts.calls);
      const bool brings = by_reading ? row.key.call == pool.idle_call && pool.has_member(row.key.thread) : is_wake(row.key.call);
      if (!brings) continue;
      const double tasks = static_cast<double>(row.counts.calls - (by_reading ? row.counts.empty + row.counts.errors : 0));
      const bool unheard = row.key.call == Call::wake_nobody;
      pool.tasks += tasks;
      if (!by_reading && !pool.has_member(row.key.thread)) pool.bringers.insert(row.key.thread);
      if (unheard) pool.unheard += tasks, pool.unheard_in_bursts += static_cast<double>(row.counts.empty);
      if (!by_reading && pool.has_member(row.key.thread)) pool.own_tasks += tasks, pool.own_unheard += unheard ? tasks : 0;
      const auto owner = owners_.find(row.key.object);
      PoolMember* member = pool.own_queues && owner != owners_.end() ? member_of(pool, owner->second) : nullptr;
      if (member) member->tasks += tasks, member->unheard += unheard ? tasks : 0;
    }
  }

  static PoolMember* member_of(Pool& pool, ThreadId thread) {
    return pool.has_member(thread) ? &*std::lower_bound(pool.members.begin(), pool.members.end(), thread, is_before) : nullptr;
  }

  // Adds `amount` over [from, to) to a field of the bins.
  static void spread(Pool& pool, double from, double to, double amount, double PoolBin::*field) {
    if (pool.bins.empty() || amount == 0) return;
    const double length = pool.bins.front().length, begin = pool.bins.front().start, last = static_cast<double>(pool.bins.size() - 1);
    const auto bin_at = [&](double t) { return static_cast<std::size_t>(std::clamp(std::floor((t - begin) / length), 0.0, last)); };
    const std::size_t first = bin_at(from), final = bin_at(to);
    if (to <= from || first == final) {
      pool.bins[first].*field += amount;
      return;
    }
    for (std::size_t i = first; i <= final; ++i) {
      const PoolBin& bin = pool.bins[i];
      const double part = std::min(to, bin.start + bin.length) - std::max(from, bin.start);
      if (part > 0) pool.bins[i].*field += amount * part / (to - from);
    }
  }

  void add_bins(Pool& pool) const {
    const double from = seconds(recording_.from_ns), wall = timeline_.wall_seconds;
    const double length = std::max(kShortestBin, wall / kMostBins);
    for (double t = from; t < from + wall; t += length) pool.bins.push_back({.start = t, .length = length});
    if (pool.bins.empty()) return;
    for (const PoolMember& member : pool.members) {
      const ThreadTable::Row* row = recording_.threads.find(member.thread);
      const double start = std::max(from, seconds(row->start_ns)), end = std::min(from + wall, seconds(row->end_ns.value_or(recording_.to_ns)));
      spread(pool, start, end, end - start, &PoolBin::alive);
      spread(pool, start, end, end - start, &PoolBin::busy);
    }
    add_waits(pool);
    const bool by_reading = trace::works_on_endpoint(trace::group_of(pool.idle_call));
    std::map<std::uint32_t, Inflow> inflows;
    for (const CallSpanRow& row : recording_.calls.spans) {
      if (!pool.queues.contains(row.key.object)) continue;
      const double to = row.end_ms * 1e-3, span = row.span_ms * 1e-3, calls = static_cast<double>(row.calls);
      if (by_reading ? row.key.call == pool.idle_call : is_wake(row.key.call)) {
        spread(pool, to - span, to, calls, &PoolBin::tasks);
        inflows.try_emplace(row.end_ms, Inflow{to - span, span}).first->second.tasks += calls;
      }
      if (row.key.call == Call::wake_nobody) spread(pool, to - span, to, calls, &PoolBin::unheard);
    }
    find_last_task(inflows, pool);
    if (!by_reading) pool.bursts = bursts_of(recording_, pool.queues);
  }

  // When in the last interval the last task came: as early as if they had come at the usual rate.
  static void find_last_task(const std::map<std::uint32_t, Inflow>& inflows, Pool& pool) {
    std::vector<double> rates;
    for (const auto& [end, inflow] : inflows)
      if (inflow.length > 0) rates.push_back(inflow.tasks / inflow.length);
    if (rates.empty()) return;
    const Inflow& last = inflows.rbegin()->second;
    std::nth_element(rates.begin(), rates.begin() + static_cast<std::ptrdiff_t>(rates.size() / 2), rates.end());
    const double usual = rates[rates.size() / 2];
    pool.last_task = last.start + (usual > 0 ? std::min(last.length, last.tasks / usual) : last.length);
  }

  // Waits are told in the interval in which they are over: what is longer than that began before. Taken from the last one back, none reaches
  // into another; where inside an interval a thread waited is not known.
  void add_waits(Pool& pool) const {
    struct Wait { double from, to, seconds; };
    std::map<ThreadId, std::vector<Wait>> waits;
    const auto is_wait = [&](const CallKey& key) { return key.call == pool.idle_call && pool.queues.contains(key.object) && pool.has_member(key.thread); };
    for (const CallSpanRow& row : recording_.calls.spans)
      if (is_wait(row.key)) waits[row.key.thread].push_back({(row.end_ms - row.span_ms) * 1e-3, row.end_ms * 1e-3, seconds(row.ns)});
    for (const BlockedRow& row : recording_.calls.still_blocked)
      if (is_wait(row.key)) waits[row.key.thread].push_back({seconds(row.since), seconds(row.t), seconds(row.t - row.since)});
    for (auto& [thread, all] : waits) {
      std::stable_sort(all.begin(), all.end(), [](const Wait& a, const Wait& b) { return a.to > b.to; });
      double before = all.front().to;
      for (const Wait& wait : all) {
        before = std::min(before, wait.to);
        const double from = std::min(wait.from, before - wait.seconds);
        spread(pool, from, before, -wait.seconds, &PoolBin::busy);
        before = from;
      }
    }
    for (PoolBin& bin : pool.bins) bin.busy = std::clamp(bin.busy, 0.0, bin.alive);
  }

  void add_obstacles(const Candidate& idle, Pool& pool) const {
    const std::unordered_set<const CallSite*> for_work(idle.sites.begin(), idle.sites.end());
    std::map<std::pair<StackId, Call>, PoolPlace> places;
    for (const PoolMember& member : pool.members) {
      const auto sites = sites_.find(member.thread);
      if (sites == sites_.end()) continue;
      for (const CallSite* site : sites->second) {
        if (for_work.contains(site) || site->blocked_seconds <= 0) continue;
        const bool endpoint = trace::works_on_endpoint(trace::group_of(site->key.call)) && site->key.object < recording_.calls.endpoints.size();
        PoolPlace& place = places[{site->stack, site->key.call}];
        place.cause = cause_of(site->key.call, recording_.calls.endpoints[endpoint ? site->key.object : 0].kind);
        place.stack = site->stack, place.call = site->key.call;
        place.seconds += site->blocked_seconds, place.calls += site->blocked_calls;
      }
    }
    for (const auto& [key, place] : places) pool.obstacles.push_back(place);
    std::sort(pool.obstacles.begin(), pool.obstacles.end(), [](const PoolPlace& a, const PoolPlace& b) { return a.seconds > b.seconds; });
  }

  const Recording& recording_;
  const Symbols& symbols_;
  const Timeline& timeline_;
  const Waits& waits_;
  StackDepths depths_;
  ProgramFunctions functions_;
  std::unordered_map<ThreadId, std::vector<const CallSite*>> sites_;
  std::unordered_map<std::uint64_t, double> wakes_;
  std::map<std::pair<ThreadId, std::uint64_t>, double> posts_;
  std::map<std::uint64_t, ThreadId> owners_;  // of the pool at hand, where each member has a queue of its own
};

}  // namespace

bool Pool::has_member(ThreadId thread) const {
  const auto at = std::lower_bound(members.begin(), members.end(), thread, is_before);
  return at != members.end() && at->thread == thread;
}

double Pool::blocked_on(WaitCause cause) const {
  double sum = 0;
  for (const PoolPlace& place : obstacles)
    if (place.cause == cause) sum += place.seconds;
  return sum;
}

// Who is signalled while it waits wakes up, once: far more signals than waits say how something grows, like the input of one task.
bool Pool::counts_tasks() const {
  constexpr double kFewest = 5, kSignalsOfAWait = 4, kChance = 50;
  if (tasks < kFewest || tasks - unheard > kSignalsOfAWait * waits + kChance) return false;
  return utilization() < 0.5 || unheard >= std::max(kFewest, kDrizzle * tasks) || trace::works_on_endpoint(trace::group_of(idle_call));
}

double Pool::seconds_above(double part) const {
  double sum = 0;
  for (const PoolBin& bin : bins)
    if (bin.alive >= 0.5 * static_cast<double>(size()) * bin.length && bin.busy >= part * bin.alive) sum += bin.length;
  return sum;
}

double Pool::most_busy() const {
  double most = 0;
  for (const PoolBin& bin : bins) most = std::max(most, bin.length > 0 ? bin.busy / bin.length : 0);
  return most;
}

Pools Pools::build(const Recording& recording, const Symbols& symbols, const CpuProfile& cpu, const Timeline& timeline, const Waits& waits) {
  Pools pools;
  pools.missing = waits.missing;
  if (!pools.missing.empty()) return pools;
  PoolFinder finder(recording, symbols, timeline, waits);
  for (const ThreadGroup& group : cpu.groups)
    if (Pool pool; finder.find(group, pool)) pools.all.push_back(std::move(pool));
  std::stable_sort(pools.all.begin(), pools.all.end(), [](const Pool& a, const Pool& b) { return a.busy > b.busy; });
  return pools;
}

}  // namespace tailback::analyzers
