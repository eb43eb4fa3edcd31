// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/event_loops.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "analyzers/model/loop_handlers.h"

namespace tailback::analyzers {

namespace {

using trace::Call;
using trace::CallGroup;

constexpr double kFewestTurns = 30, kFewestEachSecond = 2;  // again and again
constexpr double kFindsReady = 0.1;    // of the turns have a descriptor: who only looks whether there is one is no loop
constexpr double kRoom = 1.5;          // a bucket's turns are even in it: their mean
constexpr std::uint64_t kDescriptors = std::uint64_t{1} << 31;  // below: an epoll descriptor, else where the wait is called from

double seconds(std::uint64_t ns) { return static_cast<double>(ns) * 1e-9; }

std::size_t bucket_of(double seconds) {
  const double ns = std::max(1.0, seconds * 1e9);
  return std::min<std::size_t>(static_cast<std::size_t>(std::log2(ns)), LogHistogram::kBuckets - 1);
}

double mean_of(std::size_t bucket) { return kRoom * std::ldexp(1e-9, static_cast<int>(bucket)); }

// The smallest time from which on `enough` holds.
template <class Enough>
double smallest(double most, Enough&& enough) {
  double low = 0, high = most;
  for (int step = 0; step < 60; ++step) {
    const double middle = (low + high) / 2;
    (enough(middle) ? high : low) = middle;
  }
  return high;
}

// Several descriptors were ready at once at least once: one descriptor alone needs no loop.
bool serves_several(const LoopRow& row) {
  for (std::size_t bucket = 2; bucket < LogHistogram::kBuckets; ++bucket)
    if (row.ready_each.count(bucket)) return true;
  return false;
}

bool is_loop(const LoopRow& row, double alive) {
  const auto turns = static_cast<double>(row.turns);
  return turns >= kFewestTurns && turns >= kFewestEachSecond * alive && static_cast<double>(row.ready) >= kFindsReady * turns && serves_several(row);
}

Call wait_of(const Waits& waits, const LoopRow& row, const std::vector<const LongTurnRow*>& long_turns) {
  if (!long_turns.empty()) return long_turns.front()->call;
  if (row.loop < kDescriptors) return Call::epoll_wait;
  for (const CallSite& site : waits.sites)  // most time first
    if (site.key.thread == row.thread && (site.key.call == Call::poll || site.key.call == Call::select)) return site.key.call;
  return Call::poll;
}

void add_waits(const Waits& waits, EventLoop& loop) {
  for (const CallSite& site : waits.sites) {
    if (site.key.thread != loop.row->thread || site.key.call != loop.call) continue;
    loop.waiting += site.seconds;
    if (!loop.wait) loop.wait = site.stack;
  }
  loop.waiting = std::min(loop.waiting, std::max(0.0, loop.alive - loop.busy));
}

// The agent tells a few long turns in each second; the histogram has them all. Its bucket around 10 ms, from which on turns are long, counts
// whole where the long ones seen in it are well above.
double turns_for_each(const EventLoop& loop) {
  constexpr std::size_t kAround = 23;  // 8.4 to 16.8 ms
  constexpr std::uint64_t kWellAbove = 11'500'000;
  constexpr double kLongOfBucket = 0.81, kFewNear = 0.05;  // where turns of all lengths are as frequent in it
  if (loop.long_turns.empty()) return 1;
  double among = 0, near = 0;
  for (const LongTurnRow* turn : loop.long_turns) among += turn->ns >> kAround == 1, near += turn->ns < kWellAbove;
  double all = among > 0 ? static_cast<double>(loop.row->busy.count(kAround)) * (near <= kFewNear * among ? 1 : kLongOfBucket) : 0;
  for (std::size_t bucket = kAround + 1; bucket < LogHistogram::kBuckets; ++bucket) all += static_cast<double>(loop.row->busy.count(bucket));
  return std::max(1.0, all / static_cast<double>(loop.long_turns.size()));
}

std::vector<const SampleRow*> samples_of(const Recording& recording, ThreadId thread) {
  std::vector<const SampleRow*> samples;
  for (const SampleRow& row : recording.samples)
    if (row.thread == thread) samples.push_back(&row);
  std::sort(samples.begin(), samples.end(), [](const SampleRow* a, const SampleRow* b) { return a->t < b->t; });
  return samples;
}

}  // namespace

TurnLengths::TurnLengths(const EventLoop& loop) : alive_(loop.alive) {
  for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] = static_cast<double>(loop.row->busy.count(i));
  for (const LongTurnRow* turn : loop.long_turns) {
    const double length = seconds(turn->ns);
    double& among = counts_[bucket_of(length)];
    const double count = std::min(loop.told, among);
    among -= count;
    long_.push_back({turn, length, count});
  }
  std::sort(long_.begin(), long_.end(), [](const Long& a, const Long& b) { return a.turn < b.turn; });
}

void TurnLengths::shorten(const LongTurnRow& turn, double to) {
  const auto at = std::lower_bound(long_.begin(), long_.end(), &turn, [](const Long& one, const LongTurnRow* row) { return one.turn < row; });
  if (at != long_.end() && at->turn == &turn) at->seconds = std::max(0.0, to);
}

double TurnLengths::longer_than(double length) const {
  double turns = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    const double low = std::ldexp(1e-9, static_cast<int>(i));
    turns += counts_[i] * std::clamp(2 - length / low, 0.0, 1.0);
  }
  for (const Long& one : long_) turns += one.seconds > length ? one.count : 0;
  return turns;
}

double TurnLengths::later_than(double lag) const {
  double sum = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) sum += counts_[i] * std::max(0.0, mean_of(i) - lag);
  for (const Long& one : long_) sum += one.count * std::max(0.0, one.seconds - lag);
  return sum;
}

double TurnLengths::quantile(double part) const {
  const double all = longer_than(-1);
  return all > 0 ? smallest(alive_, [&](double length) { return longer_than(length) <= (1 - part) * all; }) : 0;
}

double TurnLengths::mean_lag() const {
  double sum = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) sum += counts_[i] * mean_of(i) * mean_of(i) / 2;
  for (const Long& one : long_) sum += one.count * one.seconds * one.seconds / 2;
  return alive_ > 0 ? sum / alive_ : 0;
}

double TurnLengths::lag_quantile(double part) const {
  return smallest(alive_, [&](double lag) { return later_than(lag) <= (1 - part) * alive_; });
}

EventLoops EventLoops::build(const Recording& recording, const Symbols& symbols, const Waits& waits) {
  EventLoops built;
  built.missing = waits.missing;
  std::map<std::pair<ThreadId, std::uint64_t>, std::vector<const LongTurnRow*>> long_turns;
  for (const LongTurnRow& turn : recording.loops.long_turns) long_turns[{turn.thread, turn.loop}].push_back(&turn);
  for (const LoopRow& row : recording.loops.rows) {
    const ThreadWaits* thread = waits.find(row.thread);
    if (!thread || !is_loop(row, thread->alive)) continue;
    EventLoop loop{.row = &row, .alive = thread->alive, .busy = std::min(seconds(row.busy_ns), thread->alive), .long_turns = long_turns[{row.thread, row.loop}], .handlers = {}};
    loop.call = wait_of(waits, row, loop.long_turns);
    if (!loop.long_turns.empty()) loop.wait = loop.long_turns.front()->stack;
    loop.told = turns_for_each(loop);
    add_waits(waits, loop);
    if (!loop.long_turns.empty()) loop.handlers = handlers_of(recording, symbols, waits, loop, samples_of(recording, row.thread));
    built.loops.push_back(std::move(loop));
  }
  std::stable_sort(built.loops.begin(), built.loops.end(), [](const EventLoop& a, const EventLoop& b) { return a.busy > b.busy; });
  return built;
}

}  // namespace tailback::analyzers
