// SPDX-License-Identifier: Apache-2.0
// Four cases, by how many threads want a CPU nearly all the time: the only thread; one of several; many; none. For the second and the last it
// matters who waits for whom: where detail windows tell, they are replayed with less CPU time.
#include "analyzers/model/gain.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>

#include <fmt/format.h>

namespace tailback::analyzers {
namespace {

constexpr double kWorthReplaying = 0.05;  // of all CPU time
constexpr double kBusy = 0.8;  // of wall time: such a thread's work is likely what the end waits for

struct Share {
  ThreadLoad load;
  double seconds = 0;  // CPU time in question, scaled to the thread's clock
};

Gain with(const Removable& part, double low_share, double share, double high_share, const char* metric) {
  Gain gain;
  gain.metric = metric;
  gain.fraction = part.expected * share;
  gain.low = part.low * low_share;
  gain.high = part.high * high_share;
  return gain;
}

std::string percent(double fraction) { return fmt::format("{:.0f} %", fraction * 100); }

// Wall time that a second of the thread's CPU time takes: time queued for a CPU goes in proportion.
double stretch_of(const ThreadLoad& load) { return load.cpu > 0 ? load.demand() / load.cpu : 1; }

// Alone, a thread's seconds are the program's seconds.
Gain of_only_thread(const ThreadLoad& only, double total, double wall, const Removable& part) {
  const double stretch = stretch_of(only);
  Gain gain = with(part, total / wall, total * stretch / wall, total * stretch / wall, "wall_time");
  gain.how = fmt::format("{} of wall time is spent here by the only thread{}; {} of it can go: {}", percent(std::min(1.0, total * stretch / wall)),
                         stretch > 1.05 ? ", its wait for a CPU included" : "", percent(part.expected), part.why);
  return gain;
}

Gain of_one_busy_thread(const Share& busy, double total, double wall, const Removable& part) {
  const double share = busy.seconds * stretch_of(busy.load) / wall;
  Gain gain = with(part, 0, share, std::max(share, total / wall), "wall_time");
  gain.how = fmt::format("{} of wall time is spent here by the one thread that is nearly always busy; {} of it can go: {}. Which thread waits for which is not known, "
                         "so the gain may be nothing where that thread holds nobody up", percent(share), percent(part.expected), part.why);
  return gain;
}

Gain of_busy_threads(const std::vector<Share>& busy, double wall, double cpus, const Removable& part) {
  const double parallel = std::max(1.0, std::min<double>(static_cast<double>(busy.size()), cpus));
  double seconds = 0, least = 1, most = 0;
  const bool own_crowd = static_cast<double>(busy.size()) > cpus;  // then they queue for each other, which a saving does not shorten twice
  for (const Share& share : busy) {
    const double stretched = share.seconds * (own_crowd ? 1 : stretch_of(share.load));
    seconds += stretched;
    least = std::min(least, stretched / wall);
    most = std::max(most, share.load.cpu > 0 ? share.seconds / share.load.cpu : 0);
  }
  const double share = seconds / (wall * parallel);
  Gain gain = with(part, std::min(least, share), share, std::max(most, share), "wall_time");
  gain.how = fmt::format("{} busy threads on {:.0f} CPUs spend {} of wall time here on average; {} of it can go: {}. Bounds: the thread with the least and the most of it",
                         busy.size(), parallel, percent(share), percent(part.expected), part.why);
  return gain;
}

Gain of_waiting_threads(double share, const Removable& part) {
  Gain gain = with(part, share, share, share, "cpu_time");
  gain.how = fmt::format("{} of CPU time is spent here; {} of it can go: {}. No thread is always busy, so what wall time gains depends on who waits for whom, which is "
                         "not known", percent(share), percent(part.expected), part.why);
  return gain;
}

// The same threads in the detail windows, each with less to do: what others wait for comes sooner, what nobody waits for saves nothing.
std::optional<Gain> replayed_gain(const Model& model, const std::vector<Share>& shares, const Removable& part) {
  std::map<ThreadId, double> left;
  for (const Share& share : shares)
    if (share.seconds > 0 && share.load.cpu > 0) left[share.load.id] = 1 - part.expected * std::min(1.0, share.seconds / share.load.cpu);
  const WhatIf saved = model.what_if.gain_of(with_less_cpu(left));
  if (!saved.says_enough() || part.expected <= 0) return std::nullopt;
  Gain gain;
  gain.metric = "wall_time";
  gain.fraction = saved.fraction;
  gain.low = saved.low * part.low / part.expected;
  gain.high = saved.high * part.high / part.expected;
  gain.how = fmt::format("{} of this CPU time can go: {}. {} detail windows ({:.2f} s) replayed on {:.0f} CPUs without it take {} less time", percent(part.expected), part.why, saved.windows,
                         saved.seconds, model.timeline.cpus, percent(std::max(0.0, saved.fraction)));
  return gain;
}

// Of a profile without times of threads.
Gain of_shares(double share, const Removable& part) {
  Gain gain = with(part, share, share, share, "cpu_time");
  gain.how = fmt::format("{} of CPU time is spent here; {} of it can go: {}. What wall time gains the profile does not tell", percent(share), percent(part.expected), part.why);
  return gain;
}

}  // namespace

Gain bounded(Gain gain) {
  const auto clamp = [](double value) { return std::clamp(value, 0.0, 1.0); };
  gain.fraction = clamp(gain.fraction);
  gain.low = std::min(clamp(gain.low), gain.fraction);
  gain.high = std::max(clamp(gain.high), gain.fraction);
  return gain;
}

double amdahl_saving(double serial, double cpus) { return cpus > 1 ? serial * (1 - 1 / cpus) : 0; }

double total_of(const ThreadSeconds& seconds) {
  return std::accumulate(seconds.begin(), seconds.end(), 0.0, [](double sum, const auto& of_thread) { return sum + of_thread.second; });
}

ThreadSeconds cpu_seconds_at(const Model& model, const std::vector<bool>& stacks) {
  ThreadSeconds at, all;
  for (const CpuRow& row : model.recording.cpu) {
    const double seconds = static_cast<double>(row.weight_ns) * 1e-9;
    all[row.thread] += seconds;
    if (row.stack < stacks.size() && stacks[row.stack]) at[row.thread] += seconds;
  }
  for (const ThreadLoad& load : thread_loads(model)) {
    const auto sampled = all.find(load.id);
    if (sampled != all.end() && sampled->second > 0 && load.cpu > sampled->second) at[load.id] *= load.cpu / sampled->second;
  }
  return at;
}

Gain gain_of_cpu_time(const Model& model, const std::vector<bool>& stacks, const Removable& part) {
  return gain_of_cpu_seconds(model, cpu_seconds_at(model, stacks), part);
}

Gain gain_of_cpu_seconds(const Model& model, const ThreadSeconds& at, const Removable& part) {
  const double wall = std::max(model.timeline.wall_seconds, 1e-9);
  const double total = total_of(at);
  const double share_of_all = total / std::max(static_cast<double>(model.cpu.cpu_ns) * 1e-9, 1e-9);
  if (!model.recording.source.format.empty()) return bounded(of_shares(share_of_all, part));
  std::vector<Share> shares, busy;
  for (const ThreadLoad& load : thread_loads(model)) {
    const auto seconds = at.find(load.id);
    shares.push_back({load, seconds == at.end() ? 0 : seconds->second});
    if (load.demand() >= kBusy * wall) busy.push_back(shares.back());
  }
  if (shares.size() == 1 && model.recording.thread_groups.empty()) return bounded(of_only_thread(shares.front().load, total, wall, part));
  if (busy.size() <= 1 && share_of_all >= kWorthReplaying)
    if (const auto replayed = replayed_gain(model, shares, part)) return bounded(*replayed);
  if (busy.size() == 1) return bounded(of_one_busy_thread(busy.front(), total, wall, part));
  if (busy.size() > 1) return bounded(of_busy_threads(busy, wall, model.timeline.cpus, part));
  return bounded(of_waiting_threads(share_of_all, part));
}

}  // namespace tailback::analyzers
