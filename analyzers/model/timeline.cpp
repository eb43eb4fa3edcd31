// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/timeline.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

namespace tailback::analyzers {

namespace {

constexpr double kMostCells = 4e6;  // bins of all threads: 48 MB
constexpr double kMostBins = 2e5;  // two days in seconds

double seconds(std::uint64_t ns) { return static_cast<double>(ns) * 1e-9; }
double growth(std::uint64_t before, std::uint64_t after) { return after > before ? seconds(after - before) : 0; }

// The bins of a timeline: borders at multiples of the bin length since the start, cut off at both ends of the window.
class Bins {
 public:
  Bins(double from, double to, double length) : from_(from), to_(to), length_(length), first_(std::floor(from / length)) {
    count_ = to > from ? static_cast<std::size_t>(std::max(1.0, std::ceil(to / length) - first_)) : 0;
  }
  std::size_t count() const { return count_; }
  double begin(std::size_t bin) const { return std::max(from_, (first_ + static_cast<double>(bin)) * length_); }
  double end(std::size_t bin) const { return std::min(to_, (first_ + static_cast<double>(bin) + 1) * length_); }

  // Calls each(bin, seconds of [from, to) inside the bin) for the bins it touches.
  template <class Each>
  void overlaps(double from, double to, Each&& each) const {
    from = std::max(from, from_), to = std::min(to, to_);
    if (!count_ || !(from < to)) return;
    auto bin = static_cast<std::size_t>(std::clamp(std::floor(from / length_) - first_, 0.0, static_cast<double>(count_ - 1)));
    for (; bin < count_ && begin(bin) < to; ++bin)
      if (const double part = std::min(to, end(bin)) - std::max(from, begin(bin)); part > 0) each(bin, part);
  }

  // Adds `amount` spread evenly over [from, to) to the bins.
  template <class Add>
  void spread(double from, double to, double amount, Add&& add) const {
    if (to > from && amount > 0) overlaps(from, to, [&](std::size_t bin, double part) { add(bin, amount * part / (to - from)); });
  }

 private:
  double from_, to_, length_, first_;
  std::size_t count_ = 0;
};

// CPU rows sorted by thread, to be looked at one thread after the other.
class RowsByThread {
 public:
  explicit RowsByThread(const std::vector<CpuRow>& rows) : rows_(rows), order_(rows.size()) {
    std::iota(order_.begin(), order_.end(), 0u);
    std::stable_sort(order_.begin(), order_.end(), [&](auto a, auto b) { return rows[a].thread < rows[b].thread; });
  }
  template <class Each>
  void each(ThreadId thread, Each&& visit) const {
    auto at = std::lower_bound(order_.begin(), order_.end(), thread, [&](auto index, ThreadId id) { return rows_[index].thread < id; });
    for (; at != order_.end() && rows_[*at].thread == thread; ++at) visit(rows_[*at]);
  }

 private:
  const std::vector<CpuRow>& rows_;
  std::vector<std::uint32_t> order_;
};

// One thread's bins. The counters say how much, the samples say when inside the stretch between two counters.
class ThreadBinner {
 public:
  ThreadBinner(const Bins& bins, const RowsByThread& rows) : bins_(bins), rows_(rows), sampled_(bins.count()) {}

  std::vector<ThreadBin> bin(const ThreadTable::Row& thread, std::uint64_t to_ns, bool complete) {
    out_.assign(bins_.count(), {});
    const double start = seconds(thread.start_ns), end = seconds(thread.end_ns.value_or(to_ns));
    bins_.overlaps(start, end, [&](std::size_t i, double part) { out_[i].alive = static_cast<float>(part); });
    sample_weights(thread.id);
    ThreadCounters before;
    before.t = thread.start_ns;
    for (const auto& state : thread.states) {
      step(seconds(before.t), seconds(state.t), growth(before.cpu_ns, state.cpu_ns), growth(before.run_delay_ns, state.run_delay_ns));
      before = state;
    }
    if (thread.states.empty() || (!complete && !thread.end_ns)) add_samples_after(thread, thread.states.empty() ? 0 : before.t);
    for (ThreadBin& bin : out_) bin.running = std::min(bin.running, bin.alive), bin.runnable = std::min(bin.runnable, bin.alive - bin.running);
    return std::move(out_);
  }

 private:
  void sample_weights(ThreadId thread) {
    std::fill(sampled_.begin(), sampled_.end(), 0);
    rows_.each(thread, [&](const CpuRow& row) {
      bins_.spread((row.end_ms - row.span_ms) * 1e-3, row.end_ms * 1e-3, seconds(row.weight_ns),
                   [&](std::size_t i, double amount) { sampled_[i] += amount; });
    });
  }

  void step(double from, double to, double cpu, double delay) {
    if (cpu <= 0 && delay <= 0) return;
    double weight = 0, length = 0;
    bins_.overlaps(from, to, [&](std::size_t i, double part) { weight += sampled_[i] * part, length += part; });
    if (length <= 0) {  // two counters at one moment
      bins_.overlaps(from - 1e-3, to + 1e-3, [&](std::size_t i, double) { if (cpu > 0) out_[i].running += static_cast<float>(cpu), cpu = 0; });
      return;
    }
    double left = cpu, room = 0;
    bins_.overlaps(from, to, [&](std::size_t i, double part) {
      const double share = weight > 0 ? sampled_[i] * part / weight : part / length;
      const double ran = std::min(part, cpu * share);
      out_[i].running += static_cast<float>(ran);
      left -= ran, room += part - ran;
    });
    const double rest = room > 0 ? std::min(1.0, left / room) : 0, waited = room > left ? std::min(1.0, delay / (room - left)) : 0;
    bins_.overlaps(from, to, [&](std::size_t i, double part) {
      const double share = weight > 0 ? sampled_[i] * part / weight : part / length;
      const double free = part - std::min(part, cpu * share);
      out_[i].running += static_cast<float>(free * rest);
      out_[i].runnable += static_cast<float>(free * (1 - rest) * waited);
    });
  }

  void add_samples_after(const ThreadTable::Row& thread, std::uint64_t t) {
    rows_.each(thread.id, [&](const CpuRow& row) {
      if ((row.end_ms - row.span_ms / 2) * std::uint64_t{1'000'000} <= t) return;
      bins_.spread((row.end_ms - row.span_ms) * 1e-3, row.end_ms * 1e-3, seconds(row.weight_ns),
                   [&](std::size_t i, double amount) { out_[i].running += static_cast<float>(amount); });
    });
  }

  const Bins& bins_;
  const RowsByThread& rows_;
  std::vector<double> sampled_;
  std::vector<ThreadBin> out_;
};

double usable_cpus(const Recording& recording) {
  const auto& machine = recording.machine;
  double cpus = static_cast<double>(machine.cpus_allowed ? machine.cpus_allowed : machine.cpus_online);
  if (cpus < 1) cpus = 1;
  for (const auto& group : recording.cgroup)
    if (group.cpu_quota_ns && group.cpu_period_ns)
      cpus = std::min(cpus, static_cast<double>(group.cpu_quota_ns) / static_cast<double>(group.cpu_period_ns));
  return cpus;
}

double bin_length(const Recording& recording, double from, double to) {
  const double most = std::min(kMostBins, kMostCells / static_cast<double>(std::max<std::size_t>(1, recording.threads.rows.size())));
  return std::max(1.0, std::ceil((to - from) / std::max(1.0, most)));
}

// Threads not listed singly: their sums, at the times of their samples where there are any.
void add_short_lived(const Recording& recording, const Bins& bins, const RowsByThread& rows, std::vector<ProcessBin>& process,
                     std::vector<double>& alive) {
  double cpu = 0, sampled = 0;
  for (const auto& group : recording.thread_groups) {
    const double from = std::max(0.0, seconds(group.first_t) - 1), to = seconds(group.last_t);
    cpu += seconds(group.cpu_ns);
    bins.spread(from, to, seconds(group.lifetime_ns), [&](std::size_t i, double amount) { alive[i] += amount; });
    bins.spread(from, to, seconds(group.run_delay_ns), [&](std::size_t i, double amount) { process[i].run_delay += amount; });
  }
  rows.each(0, [&](const CpuRow& row) { sampled += seconds(row.weight_ns); });
  const double factor = sampled > cpu && sampled > 0 ? cpu / sampled : 1;
  rows.each(0, [&](const CpuRow& row) {
    bins.spread((row.end_ms - row.span_ms) * 1e-3, row.end_ms * 1e-3, seconds(row.weight_ns) * factor,
                [&](std::size_t i, double amount) { process[i].cpu += amount; });
  });
  const double unsampled = cpu > 0 ? std::max(0.0, 1 - sampled / cpu) : 0;
  for (const auto& group : recording.thread_groups)
    bins.spread(std::max(0.0, seconds(group.first_t) - 1), seconds(group.last_t), seconds(group.cpu_ns) * unsampled,
                [&](std::size_t i, double amount) { process[i].cpu += amount; });
}

void add_machine(const Recording& recording, const Bins& bins, std::vector<ProcessBin>& process) {
  std::vector<double> busy(process.size()), covered(process.size());
  for (std::size_t k = 1; k < recording.system.size(); ++k) {
    const auto& before = recording.system[k - 1];
    const auto& after = recording.system[k];
    const double used = growth(before.busy_ns, after.busy_ns);
    const double all = used + growth(before.idle_ns, after.idle_ns) + growth(before.iowait_ns, after.iowait_ns);
    if (all <= 0) continue;
    bins.overlaps(seconds(before.t), seconds(after.t), [&](std::size_t i, double part) { busy[i] += part * used / all, covered[i] += part; });
  }
  for (std::size_t i = 0; i < process.size(); ++i)
    if (covered[i] > 0) process[i].machine_busy = busy[i] / covered[i];
  for (std::size_t k = 1; k < recording.cgroup.size(); ++k) {
    const auto& before = recording.cgroup[k - 1];
    const auto& after = recording.cgroup[k];
    bins.spread(seconds(before.t), seconds(after.t), growth(before.throttled_ns, after.throttled_ns),
                [&](std::size_t i, double amount) { process[i].throttled += amount; });
  }
}

}  // namespace

Timeline Timeline::build(const Recording& recording) {
  const double from = seconds(recording.from_ns), to = seconds(recording.to_ns);
  Timeline timeline;
  timeline.wall_seconds = std::max(0.0, to - from);
  timeline.cpus = usable_cpus(recording);
  timeline.has_run_delay = recording.machine.run_delay_source != 0;
  timeline.bin_seconds = bin_length(recording, from, to);
  const Bins bins(from, to, timeline.bin_seconds);
  const RowsByThread rows(recording.cpu);
  timeline.process.resize(bins.count());
  std::vector<double> alive(bins.count());
  for (std::size_t i = 0; i < bins.count(); ++i) timeline.process[i].start = bins.begin(i), timeline.process[i].length = bins.end(i) - bins.begin(i);
  ThreadBinner binner(bins, rows);
  for (const auto& thread : recording.threads.rows) {
    timeline.threads.push_back({thread.id, binner.bin(thread, recording.to_ns, recording.complete)});
    const auto& own = timeline.threads.back().bins;
    for (std::size_t i = 0; i < own.size(); ++i) {
      timeline.process[i].cpu += own[i].running;
      timeline.process[i].run_delay += own[i].runnable;
      alive[i] += own[i].alive;
    }
  }
  add_short_lived(recording, bins, rows, timeline.process, alive);
  add_machine(recording, bins, timeline.process);
  for (std::size_t i = 0; i < alive.size(); ++i)
    if (timeline.process[i].length > 0) timeline.process[i].alive_threads = static_cast<unsigned>(std::min(1e9, std::ceil(alive[i] / timeline.process[i].length - 1e-6)));
  return timeline;
}

const ThreadTimeline* Timeline::find(ThreadId id) const {
  const auto at = std::lower_bound(threads.begin(), threads.end(), id, [](const ThreadTimeline& row, ThreadId value) { return row.thread < value; });
  return at != threads.end() && at->thread == id ? &*at : nullptr;
}

}  // namespace tailback::analyzers
