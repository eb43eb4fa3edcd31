// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/execution_graph.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <tuple>
#include <unordered_map>

namespace tailback::analyzers {
namespace {

using trace::Call;
using trace::CallGroup;

constexpr double kClock = 2e-6;            // two clocks of one moment differ by less
constexpr double kLatestWake = 1e-3;       // from a wake to the end of a short wait
constexpr double kLongRun = 20e-3;         // from which on samples say whether a thread ran
constexpr double kPeriod = 5.1e-3;         // of samples
constexpr double kShortWindow = 5e-3;
constexpr double kCommonLife = 0.5;        // of a window: in less of it all its threads live
constexpr std::size_t kMostWindows = 500;
constexpr double kMissing = 0.75, kBesides = 1.5, kSampledSlack = 30e-3;  // CPU time over samples: who queues behind other programs seems to run
constexpr double kLongWork = 1e-3;         // from which on the kernel waits for something

double seconds(std::uint64_t ns) { return static_cast<double>(ns) * 1e-9; }

// Calls in which the kernel works for the thread rather than lets it wait.
bool is_work(const Recording& recording, const CallKey& key, std::uint64_t ns) {
  const CallGroup group = trace::group_of(key.call);
  if (group == CallGroup::memory) return true;
  if (seconds(ns) >= kLongWork) return false;
  if (group != CallGroup::output && group != CallGroup::copy && group != CallGroup::metadata) return false;
  return key.object >= recording.calls.endpoints.size() || recording.calls.endpoints[key.object].kind == trace::EndpointKind::file || key.object == 0;
}

struct Wait {
  double begin = 0, end = 0;
  CallKey key;
  StackId stack = 0;
};

struct Hold {
  double begin = 0, end = 0;
  std::uint64_t lock = 0;
};

struct Wake {
  double t = 0;
  CallKey key;
  StackId stack = 0;
};

struct ThreadEvents {
  std::vector<Wait> waits;
  std::vector<Hold> holds;
  std::vector<Wake> wakes;
  std::vector<std::pair<double, double>> samples;  // when; seconds
};

// The rows that one window has of each table, found by time.
class Windows {
 public:
  explicit Windows(const Recording& recording) : recording_(recording) {
    for (const CallEventRow& row : recording.calls.events) calls_.push_back(&row);
    for (const WakeEventRow& row : recording.calls.wake_events) wakes_.push_back(&row);
    for (const SampleRow& row : recording.samples) samples_.push_back(&row);
    std::sort(calls_.begin(), calls_.end(), [](const auto* a, const auto* b) { return end_of(*a) < end_of(*b); });
    std::sort(wakes_.begin(), wakes_.end(), [](const auto* a, const auto* b) { return a->t < b->t; });
    std::sort(samples_.begin(), samples_.end(), [](const auto* a, const auto* b) { return a->t < b->t; });
  }

  // Calls that end up to `after` behind the window are known as well.
  template <class Call, class Wake, class Sample>
  void each(std::uint64_t begin, std::uint64_t end, Call&& call, Wake&& wake, Sample&& sample) const {
    constexpr std::uint64_t kAfter = 300'000'000;
    for (auto at = std::lower_bound(calls_.begin(), calls_.end(), begin, [](const auto* row, std::uint64_t t) { return end_of(*row) < t; });
         at != calls_.end() && end_of(**at) < end + kAfter; ++at)
      if ((*at)->t < end) call(**at);
    for (auto at = std::lower_bound(wakes_.begin(), wakes_.end(), begin, [](const auto* row, std::uint64_t t) { return row->t < t; }); at != wakes_.end() && (*at)->t < end; ++at) wake(**at);
    for (auto at = std::lower_bound(samples_.begin(), samples_.end(), begin, [](const auto* row, std::uint64_t t) { return row->t < t; }); at != samples_.end() && (*at)->t < end; ++at)
      sample(**at);
  }

 private:
  static std::uint64_t end_of(const CallEventRow& row) { return row.t + row.ns; }
  const Recording& recording_;
  std::vector<const CallEventRow*> calls_;
  std::vector<const WakeEventRow*> wakes_;
  std::vector<const SampleRow*> samples_;
};

using Object = std::pair<bool, std::uint64_t>;  // on an endpoint; which
Object object_of(const CallKey& key) { return {trace::works_on_endpoint(trace::group_of(key.call)), key.object}; }

// Threads of one start routine, for std::thread with one callable, do the same sort of work; of those found late the name says so.
class Kinds {
 public:
  explicit Kinds(const Recording& recording) {
    for (const ModuleRow& module : recording.modules) modules_.emplace_back(module.start, module.end);
    std::sort(modules_.begin(), modules_.end());
  }
  std::uint32_t of(const ThreadTable::Row& row) {
    std::string name;
    if (row.start_routine == 0) std::copy_if(row.name.begin(), row.name.end(), std::back_inserter(name), [](char c) { return c < '0' || c > '9'; });
    const Key key{row.flags & 1 ? row.id : 0, row.start_routine, in_module(row.start_argument) ? row.start_argument : 0, name};
    return known_.emplace(key, static_cast<std::uint32_t>(known_.size())).first->second;
  }

 private:
  bool in_module(std::uint64_t address) const {
    const auto behind = std::upper_bound(modules_.begin(), modules_.end(), std::pair(address, ~std::uint64_t{0}));
    return behind != modules_.begin() && address < (behind - 1)->second;
  }
  std::vector<std::pair<std::uint64_t, std::uint64_t>> modules_;
  using Key = std::tuple<ThreadId, std::uint64_t, std::uint64_t, std::string>;
  std::map<Key, std::uint32_t> known_;
};

class Builder {
 public:
  Builder(const Recording& recording, double cpus, double begin, double end) : recording_(recording), cpus_(std::max(1.0, cpus)) { graph_.begin = begin, graph_.end = end; }

  void add(const CallEventRow& row) {
    const double from = std::max(seconds(row.t), graph_.begin), to = std::min(seconds(row.t + row.ns), graph_.end);
    if (!(from < to)) return;
    ThreadEvents& thread = threads_[row.key.thread];
    if (row.key.call == Call::unlock) thread.holds.push_back({from, to, row.key.object});
    else if (trace::group_of(row.key.call) != CallGroup::hold && !is_work(recording_, row.key, row.ns)) thread.waits.push_back({from, to, row.key, row.stack});
  }
  void add(const WakeEventRow& row) {
    if (row.key.call != Call::cond_wait_again) threads_[row.key.thread].wakes.push_back({seconds(row.t), row.key, row.stack});
  }
  void add(const SampleRow& row) {
    threads_[row.thread].samples.emplace_back(seconds(row.t), static_cast<double>(row.weight_ns) * 1e-9);
    sampled_ += static_cast<double>(row.weight_ns) * 1e-9;
  }

  // The part of the window in which no thread that takes part in it begins or ends: before and after, the program is not as it is otherwise.
  std::pair<std::uint64_t, std::uint64_t> common_life(std::uint64_t begin, std::uint64_t end) const {
    std::uint64_t from = begin, to = end;
    for (const ThreadTable::Row* row : rows()) {
      if (row->start_ns > begin && row->start_ns < end) from = std::max(from, row->start_ns);
      if (row->end_ns && *row->end_ns > begin && *row->end_ns < end) to = std::min(to, *row->end_ns);
    }
    return {from, std::max(from, to)};
  }

  WindowGraph take(Kinds& kinds) {
    for (const ThreadTable::Row* row : rows()) {
      const double from = std::max(seconds(row->start_ns), graph_.begin), to = std::min(row->end_ns ? seconds(*row->end_ns) : graph_.end, graph_.end);
      if (from < to) graph_.threads.push_back({row->id, kinds.of(*row), steps_of(threads_[row->id], from, to)});
    }
    join_edges();
    share_cpus();
    doubt_long_runs();
    share_cpus();
    for (const GraphThread& thread : graph_.threads) graph_.steps += thread.steps.size();
    return std::move(graph_);
  }

  // Whether CPU time and samples tell the same.
  bool agrees(const WindowGraph& graph) const {
    double cpu = 0;
    for (const GraphThread& thread : graph.threads)
      for (const GraphStep& step : thread.steps) cpu += step.cpu;
    return cpu >= kMissing * sampled_ - kSampledSlack && cpu <= kBesides * sampled_ + kSampledSlack;
  }

 private:
  // The threads with any event, in order: of the others none ran or was woken.
  std::vector<const ThreadTable::Row*> rows() const {
    std::vector<const ThreadTable::Row*> rows;
    for (const auto& [thread, events] : threads_)
      if (const ThreadTable::Row* row = recording_.threads.find(thread)) rows.push_back(row);
    std::sort(rows.begin(), rows.end());
    return rows;
  }

  static GraphStep idle(double from, double to) { return {.kind = GraphStep::Kind::wait, .begin = from, .end = to}; }

  // A thread's time without gaps.
  std::vector<GraphStep> steps_of(ThreadEvents& events, double from, double to) const {
    std::sort(events.waits.begin(), events.waits.end(), [](const Wait& a, const Wait& b) { return a.begin < b.begin; });
    std::sort(events.holds.begin(), events.holds.end(), [](const Hold& a, const Hold& b) { return a.begin < b.begin; });
    std::sort(events.wakes.begin(), events.wakes.end(), [](const Wake& a, const Wake& b) { return a.t < b.t; });
    std::vector<GraphStep> steps;
    if (from > graph_.begin) steps.push_back(idle(graph_.begin, from));
    double at = from;
    std::size_t wake = 0;
    const auto run_to = [&](double until) {
      for (; wake < events.wakes.size() && events.wakes[wake].t <= until + kClock; ++wake) {
        const double when = std::clamp(events.wakes[wake].t, at, std::max(at, until));
        add_run(steps, events.holds, at, when);
        at = when;
        steps.push_back({.kind = GraphStep::Kind::wake, .call = events.wakes[wake].key.call, .object = events.wakes[wake].key.object, .stack = events.wakes[wake].stack, .begin = when, .end = when});
      }
      add_run(steps, events.holds, at, until);
      at = std::max(at, until);
    };
    for (const Wait& wait : events.waits) {
      if (wait.begin + kClock < at || !(wait.end > at)) continue;  // inside of another
      run_to(std::min(std::max(wait.begin, at), to));
      for (; wake < events.wakes.size() && events.wakes[wake].t < wait.end; ++wake)  // told from inside the call
        steps.push_back({.kind = GraphStep::Kind::wake, .call = events.wakes[wake].key.call, .object = events.wakes[wake].key.object, .stack = events.wakes[wake].stack, .begin = at, .end = at});
      steps.push_back({.kind = GraphStep::Kind::wait, .call = wait.key.call, .object = wait.key.object, .stack = wait.stack, .begin = at, .end = wait.end, .held = held_at(events.holds, at, wait.end)});
      at = wait.end;
    }
    run_to(to);
    if (to < graph_.end) steps.push_back(idle(to, graph_.end));
    return steps;
  }

  static std::uint64_t held_at(const std::vector<Hold>& holds, double from, double to) {
    const double middle = (from + to) / 2;
    auto hold = std::upper_bound(holds.begin(), holds.end(), middle, [](double value, const Hold& row) { return value < row.begin; });
    return hold != holds.begin() && middle < (--hold)->end ? hold->lock : 0;
  }

  // One step, or more where a lock is taken in between.
  static void add_run(std::vector<GraphStep>& steps, const std::vector<Hold>& holds, double from, double to) {
    while (to - from > 1e-9) {
      double until = to;
      auto hold = std::upper_bound(holds.begin(), holds.end(), from + 1e-9, [](double value, const Hold& row) { return value < row.begin; });
      if (hold != holds.end() && hold->begin < until) until = hold->begin;
      if (hold != holds.begin() && (hold - 1)->end > from + 1e-9) until = std::min(until, (hold - 1)->end);
      steps.push_back({.kind = GraphStep::Kind::run, .begin = from, .end = until, .held = held_at(holds, from, until)});
      from = until;
    }
  }

  struct WakeAt {
    double t = 0;
    std::uint32_t thread = 0;
    GraphStep* step = nullptr;
  };

  // Each wait to the last wake of its object before its end.
  void join_edges() {
    std::map<Object, std::vector<WakeAt>> wakes;
    for (std::uint32_t thread = 0; thread < graph_.threads.size(); ++thread)
      for (GraphStep& step : graph_.threads[thread].steps)
        if (step.kind == GraphStep::Kind::wake) wakes[object_of({0, step.call, step.object})].push_back({step.begin, thread, &step});
    for (auto& [object, of_object] : wakes) std::stable_sort(of_object.begin(), of_object.end(), [](const WakeAt& a, const WakeAt& b) { return a.t < b.t; });
    for (std::uint32_t thread = 0; thread < graph_.threads.size(); ++thread)
      for (GraphStep& step : graph_.threads[thread].steps)
        if (step.kind == GraphStep::Kind::wait && step.call != Call::none && step.end < graph_.end) join(step, thread, wakes);
  }

  void join(GraphStep& wait, std::uint32_t thread, std::map<Object, std::vector<WakeAt>>& wakes) {
    const auto known = wakes.find(object_of({0, wait.call, wait.object}));
    if (known == wakes.end()) return;
    auto at = std::upper_bound(known->second.begin(), known->second.end(), wait.end + kClock, [](double value, const WakeAt& wake) { return value < wake.t; });
    while (at != known->second.begin()) {
      --at;
      if (at->t < wait.begin - kClock) return;
      if (at->thread == thread) continue;
      const double latency = std::max(0.0, wait.end - at->t);
      if (latency > std::max(kLatestWake, (wait.end - wait.begin) / 2)) return;
      if (at->step->edge == kNoEdge) at->step->edge = static_cast<std::uint32_t>(graph_.waiters.size()), graph_.waiters.push_back(0);
      wait.edge = at->step->edge, wait.latency = latency;
      ++graph_.waiters[wait.edge];
      return;
    }
  }

  // Of each run what its thread got, when those that ran at a time shared the CPUs evenly.
  void share_cpus() {
    std::vector<std::pair<double, int>> changes;
    for (const GraphThread& thread : graph_.threads)
      for (const GraphStep& step : thread.steps)
        if (step.kind == GraphStep::Kind::run) changes.emplace_back(step.begin, 1), changes.emplace_back(step.end, -1);
    std::sort(changes.begin(), changes.end());
    std::vector<double> times, shares{0};  // what a thread that always runs has got until then
    int running = 0;
    for (const auto& [t, change] : changes) {
      if (!times.empty()) shares.push_back(shares.back() + (t - times.back()) * std::min(1.0, cpus_ / std::max(running, 1)));
      times.push_back(t), running += change;
    }
    const auto share_until = [&](double t) { return shares[static_cast<std::size_t>(std::lower_bound(times.begin(), times.end(), t) - times.begin())]; };
    for (GraphThread& thread : graph_.threads)
      for (GraphStep& step : thread.steps)
        if (step.kind == GraphStep::Kind::run) step.cpu = share_until(step.end) - share_until(step.begin);
  }

  // Long stretches without a call and without samples were spent in something that is not seen: as idle, behind what the samples say.
  void doubt_long_runs() {
    for (GraphThread& thread : graph_.threads) {
      const auto& samples = threads_[thread.thread].samples;
      std::vector<GraphStep> steps;
      for (const GraphStep& step : thread.steps) {
        steps.push_back(step);
        if (step.kind != GraphStep::Kind::run || step.end - step.begin < kLongRun) continue;
        double sampled = 0;
        for (auto at = std::lower_bound(samples.begin(), samples.end(), std::pair(step.begin, 0.0)); at != samples.end() && at->first < step.end + kPeriod; ++at) sampled += at->second;
        if (sampled + 2 * kPeriod >= step.cpu) continue;
        const double ran = std::min(step.end - step.begin, (sampled > 0 ? sampled : kPeriod / 2) * (step.end - step.begin) / std::max(step.cpu, 1e-9));
        steps.back().end = step.begin + ran;
        steps.push_back(idle(step.begin + ran, step.end));
      }
      thread.steps = std::move(steps);
    }
  }

  const Recording& recording_;
  double cpus_;
  WindowGraph graph_;
  std::unordered_map<ThreadId, ThreadEvents> threads_;
  double sampled_ = 0;
};

std::unique_ptr<Builder> gathered(const Recording& recording, const Windows& windows, double cpus, std::uint64_t begin, std::uint64_t end) {
  auto builder = std::make_unique<Builder>(recording, cpus, seconds(begin), seconds(end));
  const auto add = [&](const auto& row) { builder->add(row); };
  windows.each(begin, end, add, add, add);
  return builder;
}

bool is_usable(const Recording& recording, const trace::DetailWindow& window) {
  return window.reason == 0 && seconds(window.end - window.begin) >= kShortWindow && recording.calls.holds_events_of(window.begin);
}

}  // namespace

std::vector<WindowGraph> execution_graphs(const Recording& recording, const GraphOptions& options) {
  std::vector<WindowGraph> graphs;
  if (recording.calls.events_left_out) return graphs;
  const Windows windows(recording);
  Kinds kinds(recording);
  std::vector<const trace::DetailWindow*> usable;
  for (const trace::DetailWindow& window : recording.windows)
    if (is_usable(recording, window) && (usable.empty() || window.begin >= usable.back()->end)) usable.push_back(&window);
  const std::size_t events = recording.calls.events.size() + recording.calls.wake_events.size();
  const std::size_t every = 1 + std::max(2 * events / std::max<std::size_t>(options.most_steps, 1), usable.size() / kMostWindows);  // an event is about two steps
  for (std::size_t i = 0; i < usable.size(); i += every) {
    const std::uint64_t length = usable[i]->end - usable[i]->begin;
    auto builder = gathered(recording, windows, options.cpus, usable[i]->begin, usable[i]->end);
    const auto [begin, end] = builder->common_life(usable[i]->begin, usable[i]->end);
    if (seconds(end - begin) < std::max(kShortWindow, kCommonLife * seconds(length))) continue;
    if (end - begin < length) builder = gathered(recording, windows, options.cpus, begin, end);
    WindowGraph graph = builder->take(kinds);
    if (builder->agrees(graph)) graphs.push_back(std::move(graph));
  }
  return graphs;
}

}  // namespace tailback::analyzers
