// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/timeline.h"

#include <algorithm>
#include <cmath>
#include <utility>

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

  // The bin of a moment, the nearest one outside; count() > 0.
  std::size_t at(double moment) const {
    return static_cast<std::size_t>(std::clamp(std::floor(moment / length_) - first_, 0.0, static_cast<double>(std::max<std::size_t>(count_, 1) - 1)));
  }

  // Calls each(bin, seconds of [from, to) inside the bin) for the bins it touches.
  template <class Each>
  void overlaps(double from, double to, Each&& each) const {
    from = std::max(from, from_), to = std::min(to, to_);
    if (!count_ || !(from < to)) return;
    for (auto bin = at(from); bin < count_ && begin(bin) < to; ++bin)
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

// Amounts over time, each even over its own stretch, summed in bins for each of many lines (threads). add() takes a constant
// time however long the stretch: a part for its first and last bin, a change of slope for those between.
class EvenSums {
 public:
  EvenSums(const Bins& bins, std::size_t lines) : bins_(bins), width_(bins.count() + 1), parts_(lines * width_), slopes_(lines * width_) {}

  void add(std::size_t line, double from, double to, double amount) {
    if (to <= from || !bins_.count()) return;
    const auto first = bins_.at(from), last = bins_.at(to);
    if (bins_.end(last) <= from || bins_.begin(first) >= to) return;
    double* parts = &parts_[line * width_];
    const double density = amount / (to - from);
    parts[first] += density * (std::min(to, bins_.end(first)) - std::max(from, bins_.begin(first)));
    if (last == first) return;
    parts[last] += density * (std::min(to, bins_.end(last)) - bins_.begin(last));
    slopes_[line * width_ + first + 1] += density;
    slopes_[line * width_ + last] -= density;
  }

  // Calls each(bin, amount) for the bins of a line that have any.
  template <class Each>
  void each(std::size_t line, Each&& visit) const {
    double density = 0;
    for (std::size_t i = 0; i < bins_.count(); ++i) {
      density += slopes_[line * width_ + i];
      const double sum = parts_[line * width_ + i] + std::max(0.0, density) * (bins_.end(i) - bins_.begin(i));
      if (sum > 1e-12) visit(i, sum);
    }
  }

 private:
  const Bins& bins_;
  std::size_t width_;
  std::vector<double> parts_, slopes_;
};

// CPU rows in bins, by row of the table of threads; the line behind the last one: threads that are not in it.
class SampledBins {
 public:
  SampledBins(const Recording& recording, const Bins& bins)
      : recording_(recording), all_(bins, lines()), after_(bins, recording.complete ? 0 : lines()) {
    for (const CpuRow& row : recording.cpu) {
      const std::size_t line = line_of(row.thread);
      const double from = (row.end_ms - row.span_ms) * 1e-3, to = row.end_ms * 1e-3, amount = seconds(row.weight_ns);
      all_.add(line, from, to, amount);
      if (line == unlisted()) unlisted_seconds_ += amount;
      else if (!recording.complete && after_last_state(recording.threads.rows[line], row)) after_.add(line, from, to, amount);
    }
  }
  std::size_t unlisted() const { return recording_.threads.rows.size(); }
  double unlisted_seconds() const { return unlisted_seconds_; }
  const EvenSums& all() const { return all_; }
  // Of an unfinished recording: what was sampled after the last counter of each thread.
  const EvenSums& after_counters() const { return after_; }

 private:
  std::size_t lines() const { return recording_.threads.rows.size() + 1; }
  static bool after_last_state(const ThreadTable::Row& thread, const CpuRow& row) {
    const std::uint64_t last = thread.states.empty() ? 0 : thread.states.back().t;
    return !thread.end_ns && (row.end_ms - row.span_ms / 2) * std::uint64_t{1'000'000} > last;
  }
  std::size_t line_of(ThreadId thread) {
    if (thread == last_thread_) return last_line_;
    const ThreadTable::Row* row = recording_.threads.find(thread);
    last_thread_ = thread;
    return last_line_ = row ? static_cast<std::size_t>(row - recording_.threads.rows.data()) : unlisted();
  }
  const Recording& recording_;
  EvenSums all_, after_;
  double unlisted_seconds_ = 0;
  ThreadId last_thread_ = 0;
  std::size_t last_line_ = recording_.threads.rows.size();
};

// One thread's bins. The counters say how much, the samples say when inside the stretch between two counters.
class ThreadBinner {
 public:
  ThreadBinner(const Bins& bins, const SampledBins& samples) : bins_(bins), samples_(samples), sampled_(bins.count()) {}

  std::vector<ThreadBin> bin(std::size_t line, const ThreadTable::Row& thread, std::uint64_t to_ns, bool complete) {
    out_.assign(bins_.count(), {});
    bins_.overlaps(seconds(thread.start_ns), seconds(thread.end_ns.value_or(to_ns)),
                   [&](std::size_t i, double part) { out_[i].alive = static_cast<float>(part); });
    std::fill(sampled_.begin(), sampled_.end(), 0);
    samples_.all().each(line, [&](std::size_t i, double amount) { sampled_[i] = amount; });
    ThreadCounters before;
    before.t = thread.start_ns;
    for (const auto& state : thread.states) {
      step(seconds(before.t), seconds(state.t), growth(before.cpu_ns, state.cpu_ns), growth(before.run_delay_ns, state.run_delay_ns));
      before = state;
    }
    const auto add = [&](std::size_t i, double amount) { out_[i].running += static_cast<float>(amount); };
    if (complete && thread.states.empty()) samples_.all().each(line, add);
    else if (!complete) samples_.after_counters().each(line, add);
    for (ThreadBin& bin : out_) bin.running = std::min(bin.running, bin.alive), bin.runnable = std::min(bin.runnable, bin.alive - bin.running);
    return std::move(out_);
  }

 private:
  void step(double from, double to, double cpu, double delay) {
    if (cpu <= 0 && delay <= 0) return;
    double weight = 0, length = 0;
    bins_.overlaps(from, to, [&](std::size_t i, double part) { weight += sampled_[i] * part, length += part; });
    if (length <= 0) {  // two counters at one moment
      bins_.overlaps(from - 1e-3, to + 1e-3, [&](std::size_t i, double) { out_[i].running += static_cast<float>(std::exchange(cpu, 0)); });
      return;
    }
    const auto sampled_part = [&](std::size_t i, double part) { return std::min(part, cpu * (weight > 0 ? sampled_[i] * part / weight : part / length)); };
    double left = cpu, room = 0;
    bins_.overlaps(from, to, [&](std::size_t i, double part) {
      const double ran = sampled_part(i, part);
      left -= ran, room += part - ran;
    });
    const double rest = room > 0 ? std::min(1.0, left / room) : 0, waited = room > left ? std::min(1.0, delay / (room - left)) : 0;
    bins_.overlaps(from, to, [&](std::size_t i, double part) {
      const double ran = sampled_part(i, part), free = part - ran;
      out_[i].running += static_cast<float>(ran + free * rest);
      out_[i].runnable += static_cast<float>(free * (1 - rest) * waited);
    });
  }

  const Bins& bins_;
  const SampledBins& samples_;
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
void add_short_lived(const Recording& recording, const Bins& bins, const SampledBins& samples, std::vector<ProcessBin>& process,
                     std::vector<double>& alive) {
  double cpu = 0;
  for (const auto& group : recording.thread_groups) {
    const double from = std::max(0.0, seconds(group.first_t) - 1), to = seconds(group.last_t);
    cpu += seconds(group.cpu_ns);
    bins.spread(from, to, seconds(group.lifetime_ns), [&](std::size_t i, double amount) { alive[i] += amount; });
    bins.spread(from, to, seconds(group.run_delay_ns), [&](std::size_t i, double amount) { process[i].run_delay += amount; });
  }
  const double sampled = samples.unlisted_seconds(), factor = sampled > cpu && sampled > 0 ? cpu / sampled : 1;
  samples.all().each(samples.unlisted(), [&](std::size_t i, double amount) { process[i].cpu += amount * factor; });
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
  const SampledBins samples(recording, bins);
  timeline.process.resize(bins.count());
  std::vector<double> alive(bins.count());
  for (std::size_t i = 0; i < bins.count(); ++i) timeline.process[i].start = bins.begin(i), timeline.process[i].length = bins.end(i) - bins.begin(i);
  ThreadBinner binner(bins, samples);
  for (std::size_t k = 0; k < recording.threads.rows.size(); ++k) {
    const ThreadTable::Row& thread = recording.threads.rows[k];
    timeline.threads.push_back({thread.id, binner.bin(k, thread, recording.to_ns, recording.complete)});
    const auto& own = timeline.threads.back().bins;
    for (std::size_t i = 0; i < own.size(); ++i) {
      timeline.process[i].cpu += own[i].running;
      timeline.process[i].run_delay += own[i].runnable;
      alive[i] += own[i].alive;
    }
  }
  add_short_lived(recording, bins, samples, timeline.process, alive);
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
