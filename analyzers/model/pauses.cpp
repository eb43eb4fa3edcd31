// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/pauses.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "analyzers/model/pause_finder.h"

namespace tailback::analyzers {

namespace {

constexpr std::size_t kMostStacks = 5;

void gather_stacks(PauseKind& kind) {
  std::map<StackId, StackWeight> stacks;
  for (const Pause& pause : kind.pauses) {
    if (!pause.stack) continue;
    StackWeight& weight = stacks[pause.stack];
    weight.stack = pause.stack, weight.ns += static_cast<std::uint64_t>(pause.seconds * 1e9), ++weight.samples;
  }
  for (const auto& [stack, weight] : stacks) kind.stacks.push_back(weight);
}

}  // namespace

PauseFinder::PauseFinder(const Recording& recording, const Symbols& symbols, const CpuProfile& cpu, const Timeline& timeline, const Waits& waits)
    : recording_(recording), symbols_(symbols), cpu_(cpu), waits_(waits) {
  out_.collectors = collector_nodes(recording, symbols);
  out_.wall_seconds = timeline.wall_seconds;
}

Pauses PauseFinder::find() {
  find_turns();
  collections();
  stopped_worlds();
  standstills();
  throttling();
  calls();
  stretches();
  for (auto& [cause, kind] : kinds_) finish(kind);
  std::stable_sort(out_.kinds.begin(), out_.kinds.end(), [](const PauseKind& a, const PauseKind& b) { return a.seconds > b.seconds; });
  return std::move(out_);
}

PauseKind& PauseFinder::kind(PauseCause cause, Runtime runtime) {
  PauseKind& kind = kinds_[{cause, runtime}];
  kind.cause = cause;
  kind.runtime = runtime;
  return kind;
}

double PauseFinder::length_of(const LongCallsRow& row, std::uint64_t number) {
  if (number == 0) return seconds_of(row.longest_ns);
  return row.calls > 1 ? seconds_of(row.ns - std::min(row.ns, row.longest_ns)) / static_cast<double>(row.calls - 1) : 0;
}

void PauseFinder::add(PauseKind& kind, const Pause& pause) {
  kind.pauses.push_back(pause);
  auto& told = told_[pause.thread];
  double begin = pause.begin, end = pause.begin + pause.seconds;
  auto at = told.upper_bound(end);
  while (at != told.begin() && std::prev(at)->second >= begin) {
    at = std::prev(at);
    begin = std::min(begin, at->first), end = std::max(end, at->second);
    at = told.erase(at);
  }
  told.emplace(begin, end);
}

bool PauseFinder::overlaps_pause(ThreadId thread, double begin, double end) const {
  for (const ThreadId whose : {thread, ThreadId{0}}) {
    const auto told = told_.find(whose);
    if (told == told_.end()) continue;
    const auto after = told->second.lower_bound(end);
    if (after != told->second.begin() && std::prev(after)->second > begin) return true;
  }
  return false;
}

std::vector<const BusyStretchRow*> PauseFinder::longest_first(const std::function<bool(const BusyStretchRow&)>& wanted) const {
  std::vector<const BusyStretchRow*> rows;
  for (const BusyStretchRow& row : recording_.pauses.stretches)
    if (wanted(row)) rows.push_back(&row);
  const auto order = [](const BusyStretchRow* a, const BusyStretchRow* b) { return std::pair(b->end - b->begin, a->begin) < std::pair(a->end - a->begin, b->begin); };
  std::stable_sort(rows.begin(), rows.end(), order);
  return rows;
}

void PauseFinder::finish(PauseKind& kind) {
  std::stable_sort(kind.pauses.begin(), kind.pauses.end(), [](const Pause& a, const Pause& b) { return a.begin < b.begin; });
  if (kind.count <= 0) kind.count = static_cast<double>(kind.pauses.size());
  if (!kind.sampled && kind.seconds <= 0)
    for (const Pause& pause : kind.pauses) kind.seconds += pause.seconds;
  if (kind.cause == PauseCause::throttled && kind.pauses.size() > kind.count) kind.count = static_cast<double>(kind.pauses.size());
  kind.seconds += kind.waited;
  if (!kind.sampled || kind.waited > kind.seconds / 2) gather_stacks(kind);
  std::stable_sort(kind.stacks.begin(), kind.stacks.end(), [](const StackWeight& a, const StackWeight& b) { return a.ns > b.ns; });
  if (kind.stacks.size() > kMostStacks) kind.stacks.resize(kMostStacks);
  if (kind.seconds > 0) out_.kinds.push_back(std::move(kind));
}

const char* to_string(PauseCause cause) {
  static constexpr std::array<const char*, kPauseCauses> names = {"gc", "stop-the-world", "mass-free", "page-faults", "allocator-trim", "fork",
                                                                  "io", "throttled",      "cpu-starvation", "stopped", "unknown"};
  return names[static_cast<std::size_t>(cause)];
}

double PauseKind::longest() const {
  double most = 0;
  for (const Pause& pause : pauses) most = std::max(most, pause.seconds);
  return most;
}

double PauseKind::quantile(double part) const {
  if (pauses.empty()) return 0;
  std::vector<double> lengths;
  for (const Pause& pause : pauses) lengths.push_back(pause.seconds);
  std::sort(lengths.begin(), lengths.end());
  return lengths[std::min(lengths.size() - 1, static_cast<std::size_t>(part * static_cast<double>(lengths.size())))];
}

// A moment inside a pause of length L waits for more than x with L - x of its time: the sum over all pauses against the part that is left.
double PauseKind::added_latency(double part, double wall_seconds) const {
  const double beyond = (1 - part) * wall_seconds;
  double low = 0, high = longest();
  for (int step = 0; step < 50; ++step) {
    const double middle = (low + high) / 2;
    double sum = 0;
    for (const Pause& pause : pauses) sum += std::max(0.0, pause.seconds - middle);
    (sum > beyond ? low : high) = middle;
  }
  return high < 1e-6 ? 0 : high;
}

const Pauses::Turns* Pauses::find(ThreadId thread) const {
  const auto at = std::lower_bound(turns_.begin(), turns_.end(), thread, [](const Turns& turns, ThreadId id) { return turns.thread < id; });
  return at != turns_.end() && at->thread == thread ? &*at : nullptr;
}

double Pauses::usual_turn(ThreadId thread) const {
  const Turns* turns = find(thread);
  return turns ? turns->each : 0;
}

double Pauses::turns(ThreadId thread) const {
  const Turns* turns = find(thread);
  return turns ? turns->count : 0;
}

Pauses Pauses::build(const Recording& recording, const Symbols& symbols, const CpuProfile& cpu, const Timeline& timeline, const Waits& waits) {
  return PauseFinder(recording, symbols, cpu, timeline, waits).find();
}

}  // namespace tailback::analyzers
