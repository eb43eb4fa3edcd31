// SPDX-License-Identifier: Apache-2.0
// Differences of a thread's counters; for threads found late, from the first figures seen.
#include "analyzers/model/thread_load.h"

#include <algorithm>
#include <map>

namespace tailback::analyzers {
namespace {

constexpr double kSecond = 1e-9;
constexpr std::uint64_t kFoundLate = 2, kMain = 1;

double seconds_between(std::uint64_t from, std::uint64_t to) { return to > from ? static_cast<double>(to - from) * kSecond : 0; }

void set_counters(ThreadLoad& load, const ThreadTable::Row& row) {
  if (row.states.empty()) return;
  const ThreadCounters zero{};
  const ThreadCounters& first = (row.flags & kFoundLate) && row.states.size() > 1 ? row.states.front() : zero;
  const ThreadCounters& last = row.states.back();
  load.cpu = seconds_between(first.cpu_ns, last.cpu_ns);
  load.delay = seconds_between(first.run_delay_ns, last.run_delay_ns);
  load.voluntary_switches = last.voluntary_switches - std::min(first.voluntary_switches, last.voluntary_switches);
  load.involuntary_switches = last.involuntary_switches - std::min(first.involuntary_switches, last.involuntary_switches);
}

void set_activity(ThreadLoad& load, const Timeline& timeline) {
  load.first_active = load.start;
  load.last_active = load.end;
  const ThreadTimeline* bins = timeline.find(load.id);
  if (!bins) return;
  constexpr float kActive = 0.1f;  // of the bin's time
  bool seen = false;
  for (std::size_t i = 0; i < bins->bins.size() && i < timeline.process.size(); ++i) {
    const ThreadBin& bin = bins->bins[i];
    if (bin.alive <= 0 || bin.running + bin.runnable < kActive * bin.alive) continue;
    const double begin = std::max(load.start, timeline.process[i].start), end = timeline.process[i].start + timeline.process[i].length;
    const bool whole = bin.running + bin.runnable > 0.9f * bin.alive;
    if (!seen) load.first_active = begin;
    load.last_active = std::min(load.end, whole ? end : begin + static_cast<double>(bin.running + bin.runnable));
    seen = true;
  }
}

// The part of each thread's samples in which it spins. Empty: none does.
std::map<ThreadId, double> spinning_parts(const Model& model) {
  struct Samples {
    double all = 0, spinning = 0;
  };
  std::map<ThreadId, Samples> samples;
  for (const CpuRow& row : model.recording.cpu) {
    Samples& of_thread = samples[row.thread];
    of_thread.all += static_cast<double>(row.weight_ns);
    if (model.spinning.at(row.stack)) of_thread.spinning += static_cast<double>(row.weight_ns);
  }
  std::map<ThreadId, double> parts;
  for (const auto& [thread, of_thread] : samples)
    if (of_thread.spinning > 0) parts[thread] = of_thread.spinning / of_thread.all;
  return parts;
}

}  // namespace

std::vector<ThreadLoad> thread_loads(const Model& model) {
  std::vector<ThreadLoad> loads;
  const double wall = model.timeline.wall_seconds;
  const std::map<ThreadId, double> spinning = spinning_parts(model);
  for (const ThreadTable::Row& row : model.recording.threads.rows) {
    ThreadLoad load;
    load.id = row.id;
    load.start = static_cast<double>(row.start_ns) * kSecond;
    load.end = row.end_ns ? static_cast<double>(*row.end_ns) * kSecond : std::max(wall, load.start);
    load.ended = row.end_ns.has_value();
    load.is_main = row.flags & kMain;
    set_counters(load, row);
    if (const auto part = spinning.find(load.id); part != spinning.end()) load.spun = part->second * load.cpu;
    if (!model.timeline.has_run_delay) load.delay = 0;
    set_activity(load, model.timeline);
    loads.push_back(load);
  }
  return loads;
}

std::vector<StackWeight> stacks_of_thread(const Model& model, ThreadId thread) {
  std::map<StackId, StackWeight> stacks;
  for (const CpuRow& row : model.recording.cpu) {
    if (row.thread != thread) continue;
    StackWeight& weight = stacks[row.stack];
    weight.stack = row.stack;
    weight.ns += row.weight_ns;
    weight.samples += row.samples;
  }
  std::vector<StackWeight> result;
  for (const auto& [stack, weight] : stacks) result.push_back(weight);
  std::sort(result.begin(), result.end(), [](const StackWeight& a, const StackWeight& b) { return a.ns > b.ns; });
  return result;
}

std::string thread_label(const Model& model, ThreadId thread) {
  const ThreadTable::Row* row = model.recording.threads.find(thread);
  if (row && (row->flags & kMain)) return "the main thread";
  if (row && !row->name.empty()) return "thread " + row->name;
  return "thread " + std::to_string(thread);
}

}  // namespace tailback::analyzers
