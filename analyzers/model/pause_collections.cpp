// SPDX-License-Identifier: Apache-2.0
// Garbage collectors, known ones and such as only behave like one.
#include <algorithm>

#include "analyzers/model/pause_finder.h"

namespace tailback::analyzers {

namespace {

constexpr double kToldOver = 0.5;          // seconds that the sums of calls are told over
constexpr std::uint64_t kMostInOne = 100;  // waits of one kind in that time
constexpr std::size_t kFewestWorlds = 3;
constexpr double kMostWorlds = 0.6;        // of the stops in which the same function ran
constexpr double kOnlyThen = 1.6;          // times the length of the stops that were seen, some are missed: the function hardly runs otherwise

}  // namespace

// ---- collectors ----
// All their time by the samples and by the waits inside them, for helpers; the single collections by the stretches in which nothing else
// ran, and where the helpers do all the work, by the long ones of these waits.
void PauseFinder::collections() {
  for (const StackWeight& weight : cpu_.stacks) {
    const Runtime runtime = collector_at(weight.stack);
    if (runtime == Runtime::none) continue;
    PauseKind& kind = of_collector(runtime);
    kind.sampled = true;
    kind.seconds += seconds_of(weight.ns);
    kind.samples += weight.samples;
    kind.stacks.push_back(weight);
  }
  for (const CallSite& site : waits_.sites)
    if (const Runtime runtime = collector_at(site.stack); runtime != Runtime::none) of_collector(runtime).waited += site.blocked_seconds;
  for (const BusyStretchRow* row : longest_first([&](const BusyStretchRow& row) { return is_collection(row); })) {
    const double begin = seconds_of(row->begin), seconds = seconds_of(row->end - row->begin);
    if (!overlaps_pause(row->thread, begin, begin + seconds)) add_collection(row->thread, begin, seconds, row->last_stack);
  }
  add_waits_in_collectors();
}

Runtime PauseFinder::collector_at(StackId stack) const { return stack < out_.collectors.size() ? out_.collectors[stack].runtime : Runtime::none; }

void PauseFinder::add_collection(ThreadId thread, double begin, double seconds, StackId stack) {
  PauseKind& kind = of_collector(collector_at(stack));
  add(kind, {begin, seconds, thread, stack, 0});
  kind.answering = kind.answering || answers(thread);
}

// What is known of them is half a second's sum: put one behind the other, up to its end.
void PauseFinder::add_waits_in_collectors() {
  std::map<std::pair<ThreadId, std::uint64_t>, std::vector<const LongCallsRow*>> rows;
  for (const LongCallsRow& row : recording_.pauses.long_calls)
    if (collector_at(row.stack) != Runtime::none) rows[{row.key.thread, row.end_ns}].push_back(&row);
  for (const auto& [where, waits] : rows) {
    const ThreadId thread = where.first;
    double end = seconds_of(where.second);
    if (overlaps_pause(thread, end - kToldOver, end)) continue;  // by stretches, which know better when
    for (const LongCallsRow* row : waits) {
      for (std::uint64_t i = 0; i < std::min<std::uint64_t>(row->calls, kMostInOne); ++i) {
        const double seconds = length_of(*row, i);
        if (seconds < kShortest) break;
        end -= seconds;
        add_collection(thread, std::max(0.0, end), seconds, row->stack);
      }
    }
  }
}

PauseKind& PauseFinder::of_collector(Runtime runtime) { return kind(runtime == Runtime::hotspot ? PauseCause::stop_the_world : PauseCause::gc, runtime); }

// The stretch is one collection: it begins within it, and all its samples lie below the place that called the collector.
bool PauseFinder::is_collection(const BusyStretchRow& row) const {
  if (collector_at(row.last_stack) == Runtime::none) return false;
  const CollectorNode& collector = out_.collectors[row.last_stack];
  const StackId caller = recording_.nodes[collector.root].parent;
  return is_within(collector.root, row.outermost) && (caller == 0 || is_within(row.stack, caller));
}

bool PauseFinder::is_within(StackId node, StackId ancestor) const {
  while (node > ancestor) node = recording_.nodes[node].parent;  // parents come before children
  return node == ancestor;
}

// ---- unknown runtimes that stop the world ----
// Threads of one kind, of which any one works while all others wait, in a function that hardly ever runs otherwise. A pool that waits for
// work from another thread, and threads that wait for the slowest of them, do the same; but there the one works as the others do, or is another.
void PauseFinder::stopped_worlds() {
  struct Seen { const WorldStoppedRow* world; const BusyStretchRow* stretch; };
  std::vector<Seen> seen;
  std::map<FunctionId, std::size_t> functions;
  double all = 0;
  for (const WorldStoppedRow& world : recording_.pauses.worlds) {
    if (!same_kind(world.thread, world.waiter)) continue;
    const BusyStretchRow* stretch = stretch_in(world);
    if (!stretch || collector_at(stretch->last_stack) != Runtime::none) continue;
    seen.push_back({&world, stretch});
    all += seconds_of(world.end - world.begin);
    for (const FunctionId function : functions_of(*stretch)) ++functions[function];
  }
  const FunctionTime* collector = nullptr;
  for (const auto& [function, count] : functions) {
    const FunctionTime* time = cpu_.function(function);
    if (!time || static_cast<double>(count) < kMostWorlds * static_cast<double>(seen.size()) || seconds_of(time->total_ns) > kOnlyThen * all) continue;
    if (!collector || time->total_ns > collector->total_ns) collector = time;
  }
  if (seen.size() < kFewestWorlds || !collector) return;
  PauseKind& kind = this->kind(PauseCause::stop_the_world);
  for (const Seen& one : seen) add(kind, {seconds_of(one.world->begin), seconds_of(one.world->end - one.world->begin), one.world->thread, one.stretch->last_stack, 0});
}

bool PauseFinder::same_kind(ThreadId a, ThreadId b) const {
  const ThreadTable::Row *one = recording_.threads.find(a), *other = recording_.threads.find(b);
  return one && other && one->start_routine && one->start_routine == other->start_routine && one->start_argument == other->start_argument;
}

const BusyStretchRow* PauseFinder::stretch_in(const WorldStoppedRow& world) const {
  constexpr std::uint64_t kSlack = 30'000'000;
  const BusyStretchRow* best = nullptr;
  for (const BusyStretchRow& row : recording_.pauses.stretches) {
    if (row.thread != world.thread || row.begin + kSlack < world.begin || row.begin > world.end) continue;
    const std::uint64_t common = std::min(row.end, world.end) - std::min(std::max(row.begin, world.begin), std::min(row.end, world.end));
    if (2 * common >= world.end - world.begin && (!best || row.end - row.begin > best->end - best->begin)) best = &row;
  }
  return best;
}

// What began with it: the calls that lasted as long, and the one below.
std::vector<FunctionId> PauseFinder::functions_of(const BusyStretchRow& row) const {
  std::vector<FunctionId> functions;
  StackId node = row.last_stack;
  while (node > row.stack && recording_.nodes[node].parent > row.stack) node = recording_.nodes[node].parent;
  for (; node; node = recording_.nodes[node].parent) {
    const FunctionId function = symbols_.frames(node).back().function;
    if (std::find(functions.begin(), functions.end(), function) == functions.end()) functions.push_back(function);
    if (node == row.outermost) break;
  }
  return functions;
}

}  // namespace tailback::analyzers
