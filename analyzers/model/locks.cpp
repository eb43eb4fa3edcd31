// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/locks.h"

#include <algorithm>
#include <unordered_map>

namespace tailback::analyzers {

namespace {

using trace::Call;

double seconds(std::uint64_t ns) { return static_cast<double>(ns) * 1e-9; }

class Builder {
 public:
  explicit Builder(const Recording& recording) : recording_(recording) {}

  std::vector<Lock> locks() {
    for (const CallRow& row : recording_.calls.rows) sums(row);
    for (const BlockedRow& row : recording_.calls.still_blocked) still_waiting(row);
    for (const CallHistogramRow& row : recording_.calls.histograms)
      if (trace::is_hold(row.key.call) && row.key.object) lock(row.key.object).holds.add(row.latencies);
    for (const CallStackRow& row : recording_.calls.stacks) places(row);
    for (const LockCpuRow& row : recording_.locks.cpu) working(row);
    for (Lock& each : locks_) order(each);
    std::stable_sort(locks_.begin(), locks_.end(), [](const Lock& a, const Lock& b) {
      return std::pair(b.wait_seconds, b.acquisitions) < std::pair(a.wait_seconds, a.acquisitions);
    });
    return std::move(locks_);
  }

 private:
  Lock& lock(std::uint64_t address) {
    const auto [at, added] = index_.emplace(address, locks_.size());
    if (added) locks_.emplace_back().address = address;
    return locks_[at->second];
  }

  void wait(Lock& of, const CallKey& key, double waited, double waits, double longest) {
    if (waited >= of.wait_seconds) of.kind = key.call;
    of.waits += waits, of.wait_seconds += waited;
    of.longest_wait = std::max(of.longest_wait, longest);
    of.wait_by_thread[key.thread] += waited;
  }

  void sums(const CallRow& row) {
    if (row.key.object == 0) return;
    const double time = seconds(row.counts.ns), calls = static_cast<double>(row.counts.calls);
    if (is_lock_call(row.key.call)) return wait(lock(row.key.object), row.key, time, calls, seconds(row.counts.longest_ns));
    if (row.key.call == Call::unlock) {
      Lock& of = lock(row.key.object);
      of.hand_overs += calls, of.held_up_seconds += time;
    } else if (trace::is_hold(row.key.call)) {
      Lock& of = lock(row.key.object);
      if (of.waits == 0) of.kind = row.key.call == Call::rwlock_hold ? Call::rwlock_rdlock : row.key.call == Call::spin_hold ? Call::spin_lock : Call::mutex_lock;
      of.acquisitions += calls, of.held_seconds += time;
    }
  }

  void still_waiting(const BlockedRow& row) {
    if (row.key.object == 0 || !is_lock_call(row.key.call)) return;
    const double waited = seconds(row.t - row.since);
    Lock& of = lock(row.key.object);
    wait(of, row.key, waited, 1, waited);
    of.waiters.push_back({row.stack, waited, 1});
  }

  void places(const CallStackRow& row) {
    const LockPlace place{row.stack, seconds(row.counts.ns), static_cast<double>(row.counts.calls)};
    if (row.key.object && is_lock_call(row.key.call)) lock(row.key.object).waiters.push_back(place);
    if (row.key.object && row.key.call == Call::unlock) lock(row.key.object).holders.push_back(place);
    if (row.key.object && trace::is_hold(row.key.call)) lock(row.key.object).users.push_back(place);
    const bool waits = trace::group_of(row.key.call) != trace::CallGroup::hold && trace::group_of(row.key.call) != trace::CallGroup::memory;
    if (row.lock == 0 || !waits || row.counts.blocked_ns == 0) return;
    Lock& held = lock(row.lock);
    held.blocked_inside += seconds(row.counts.blocked_ns);
    held.calls_inside.push_back({row.key, row.stack, seconds(row.counts.blocked_ns), static_cast<double>(row.counts.blocked_calls)});
  }

  void working(const LockCpuRow& row) {
    Lock& of = lock(row.lock);
    of.cpu_inside += seconds(row.weight_ns);
    of.working.push_back({row.stack, seconds(row.weight_ns), 0});
  }

  // Of one stack one row, and shares of the exact sum: not every hold has its stack.
  static void settle(std::vector<LockPlace>& places, double exact_seconds) {
    std::map<StackId, LockPlace> merged;
    double known = 0;
    for (const LockPlace& place : places) {
      LockPlace& into = merged[place.stack];
      into.stack = place.stack, into.seconds += place.seconds, into.count += place.count;
      known += place.seconds;
    }
    places.clear();
    for (auto& [stack, place] : merged) {
      if (known > 0 && exact_seconds > 0) place.seconds *= exact_seconds / known;
      places.push_back(place);
    }
    std::stable_sort(places.begin(), places.end(), [](const LockPlace& a, const LockPlace& b) { return std::pair(b.seconds, b.count) < std::pair(a.seconds, a.count); });
  }

  static void order(Lock& of) {
    settle(of.waiters, of.wait_seconds);
    settle(of.holders, of.held_up_seconds);
    settle(of.users, of.held_seconds);
    settle(of.working, of.cpu_inside);
    std::stable_sort(of.users.begin(), of.users.end(), [](const LockPlace& a, const LockPlace& b) { return a.count > b.count; });
    std::stable_sort(of.calls_inside.begin(), of.calls_inside.end(), [](const CallInside& a, const CallInside& b) { return a.seconds > b.seconds; });
  }

  const Recording& recording_;
  std::vector<Lock> locks_;
  std::unordered_map<std::uint64_t, std::size_t> index_;
};

}  // namespace

bool is_lock_call(Call call) { return call == Call::mutex_lock || call == Call::rwlock_rdlock || call == Call::rwlock_wrlock || call == Call::spin_lock || call == Call::futex_lock; }

const char* kind_of_lock(Call call) {
  switch (call) {
    case Call::rwlock_rdlock: case Call::rwlock_wrlock: return "read-write lock";
    case Call::spin_lock: return "spin lock";
    case Call::cond_wait: return "interpreter lock (CPython's GIL)";
    default: return "mutex";
  }
}

Locks Locks::build(const Recording& recording) { return {Builder(recording).locks()}; }

const Lock* Locks::find(std::uint64_t address) const {
  const auto at = std::find_if(all.begin(), all.end(), [&](const Lock& lock) { return lock.address == address; });
  return at == all.end() ? nullptr : &*at;
}

}  // namespace tailback::analyzers
