// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/what_if.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "analyzers/model/replay.h"

namespace tailback::analyzers {
namespace {

constexpr double kAsItWas = 0.05;       // how far an unchanged replay may be from the window's length
constexpr double kFromOutside = 0.2;    // of a window: a thread that waits so long for what nobody in it did follows that
constexpr double kTakesPart = 0.05;     // of a window running, or waiting for threads
constexpr std::size_t kFewestTurns = 2, kMostTurns = 8;

using Kind = GraphStep::Kind;

bool is_edge(const GraphStep& step) { return step.kind == Kind::wait && step.edge != kNoEdge; }

// Waits that something outside of the threads ends, which a change inside does not bring forward.
bool waits_for_outside(const GraphStep& step) {
  using trace::CallGroup;
  if (step.kind != Kind::wait || is_edge(step)) return false;
  const CallGroup group = trace::group_of(step.call);
  return group != CallGroup::flush && group != CallGroup::lock && group != CallGroup::output && group != CallGroup::connection && group != CallGroup::lookup &&
         group != CallGroup::file_lock;
}

bool sets_pace(const GraphThread& thread, double seconds) {
  double outside = 0, active = 0;
  for (const GraphStep& step : thread.steps) {
    const double took = step.end - step.begin;
    if (waits_for_outside(step)) outside += took;
    else active += took;
  }
  return outside <= kFromOutside * seconds && active >= kTakesPart * seconds;
}

// The threads of each kind, by their place in the window.
std::map<std::uint32_t, std::vector<std::size_t>> threads_by_kind(const WindowGraph& window) {
  std::map<std::uint32_t, std::vector<std::size_t>> kinds;
  for (std::size_t i = 0; i < window.threads.size(); ++i) kinds[window.threads[i].kind].push_back(i);
  return kinds;
}

std::size_t turns_for(const std::map<std::uint32_t, std::vector<std::size_t>>& kinds) {
  std::size_t most = 1;
  for (const auto& [kind, members] : kinds) most = std::max(most, members.size());
  return std::clamp(most > 1 ? most : kFewestTurns, kFewestTurns, kMostTurns);
}

class Program {
 public:
  Program(const WindowGraph& window, const Change& change, double cpus) : window_(window), change_(change), kinds_(threads_by_kind(window)), turns_(turns_for(kinds_)) {
    program_.cpus = cpus;
    program_.tokens.assign(window.waiters.size() * turns_, 0);
    for (std::size_t i = 0; i < window.threads.size(); ++i) give_early_.push_back(wakes_before_calls(window.threads[i]));
    find_last_steps_before_sleeps();
    if (!change.pool.threads.empty()) add_pool();
    for (const auto& [kind, members] : kinds_)
      for (std::size_t place = 0; place < members.size(); ++place) add_thread(members, place);
    for (std::vector<ReplayStep>& steps : helpers_) program_.threads.push_back(std::move(steps)), pace_.push_back(false);
  }

  // Seconds of one turn.
  double run() {
    const ReplayResult result = replay(program_);
    double last = -1;
    for (std::size_t i = 0; i < pace_.size(); ++i)
      if (pace_[i]) last = std::max(last, result.threads[i].finished);
    if (!program_.workers.empty()) last = std::max(last, result.pools.front().times.finished);
    return result.stuck || last < 0 ? -1 : last / static_cast<double>(turns_);
  }

 private:
  bool in_pool(std::size_t member) const { return change_.pool.threads.contains(window_.threads[member].thread); }

  void add_thread(const std::vector<std::size_t>& members, std::size_t place) {
    std::vector<ReplayStep> steps;
    bool pace = false;
    for (std::size_t turn = 0; turn < turns_; ++turn) {
      const std::size_t member = members[(place + turn) % members.size()];
      if (in_pool(member)) continue;
      pace |= sets_pace(window_.threads[member], window_.seconds());
      for (std::size_t i = 0; i < window_.threads[member].steps.size(); ++i) add_step(steps, member, i, turn);
    }
    program_.threads.push_back(std::move(steps));
    pace_.push_back(pace);
  }

  void add_step(std::vector<ReplayStep>& steps, std::size_t member, std::size_t index, std::size_t turn) {
    const GraphThread& thread = window_.threads[member];
    const GraphStep& step = thread.steps[index];
    for (const std::uint32_t edge : give_early_[member][index]) give(steps, edge, turn);
    if (step.kind == Kind::run) return add_run(steps, member, index, turn);
    if (step.kind == Kind::wake) {
      if (step.edge != kNoEdge && !moved(step)) give(steps, step.edge, turn);
      return;
    }
    if (const auto sleep = sleeps_.find({member, index}); sleep != sleeps_.end()) return steps.push_back(ReplayStep::take(sleep->second + static_cast<std::uint32_t>(turn)));
    const double left = change_.wait ? change_.wait(thread, step) : 1;
    if (!is_edge(step)) return steps.push_back(ReplayStep::delay((step.end - step.begin) * left));
    if (left > 0) steps.push_back(ReplayStep::take(object(step.edge, turn), step.latency));
  }

  void add_run(std::vector<ReplayStep>& steps, std::size_t member, std::size_t index, std::size_t turn) {
    const GraphThread& thread = window_.threads[member];
    const double cpu = thread.steps[index].cpu * (change_.run ? change_.run(thread, thread.steps[index]) : 1);
    if (change_.divided && thread.thread == change_.divided && change_.ways > 1) divide(steps, cpu);
    else steps.push_back(ReplayStep::run(cpu));
    const auto [first, last] = sleeps_until_.equal_range({member, index});
    for (auto sleep = first; sleep != last; ++sleep) steps.push_back(ReplayStep::give(sleep->second + static_cast<std::uint32_t>(turn)));
  }

  // Helpers do a part each while the thread does its own, which then waits for them.
  void divide(std::vector<ReplayStep>& steps, double cpu) {
    helpers_.resize(change_.ways - 1);
    const double part = cpu / static_cast<double>(change_.ways);
    const std::uint32_t go = new_objects(helpers_.size()), done = new_objects(1);
    for (std::uint32_t i = 0; i < helpers_.size(); ++i) {
      steps.push_back(ReplayStep::give(go + i));
      helpers_[i].insert(helpers_[i].end(), {ReplayStep::take(go + i), ReplayStep::run(part), ReplayStep::give(done)});
    }
    steps.push_back(ReplayStep::run(part));
    steps.insert(steps.end(), helpers_.size(), ReplayStep::take(done));
  }

  std::uint32_t new_objects(std::size_t count) {
    program_.tokens.resize(program_.tokens.size() + count, 0);
    return static_cast<std::uint32_t>(program_.tokens.size() - count);
  }

  void find_last_steps_before_sleeps() {
    if (!change_.woken) return;
    std::vector<std::pair<double, std::pair<std::size_t, std::size_t>>> ends;
    for (std::size_t member = 0; member < window_.threads.size(); ++member)
      for (std::size_t i = 0; i < window_.threads[member].steps.size(); ++i)
        if (window_.threads[member].steps[i].kind == Kind::run) ends.push_back({window_.threads[member].steps[i].end, {member, i}});
    std::sort(ends.begin(), ends.end());
    for (std::size_t member = 0; member < window_.threads.size(); ++member)
      for (std::size_t i = 0; i < window_.threads[member].steps.size(); ++i) {
        const GraphStep& sleep = window_.threads[member].steps[i];
        if (sleep.kind != Kind::wait || is_edge(sleep) || !change_.woken(window_.threads[member], sleep) || others_run_at(member, sleep.end)) continue;
        auto last = std::upper_bound(ends.begin(), ends.end(), std::pair(sleep.end, std::pair(window_.threads.size(), std::size_t{0})));
        while (last != ends.begin() && (last - 1)->second.first == member) --last;
        if (last == ends.begin() || (--last)->first < sleep.begin) continue;
        sleeps_[{member, i}] = new_objects(turns_);
        sleeps_until_.emplace(last->second, sleeps_[{member, i}]);
      }
  }

  bool others_run_at(std::size_t member, double moment) const {
    for (std::size_t other = 0; other < window_.threads.size(); ++other) {
      const auto& steps = window_.threads[other].steps;
      const auto at = std::partition_point(steps.begin(), steps.end(), [&](const GraphStep& step) { return step.end <= moment; });
      if (other != member && at != steps.end() && at->kind == Kind::run && at->begin < moment) return true;
    }
    return false;
  }

  void give(std::vector<ReplayStep>& steps, std::uint32_t edge, std::size_t turn) const {
    steps.push_back(ReplayStep::give(object(edge, turn), window_.waiters[edge]));
    const auto submitted = submitted_.find(object(edge, turn));
    if (submitted == submitted_.end()) return;
    for (const std::uint32_t job : submitted->second) steps.push_back(ReplayStep::submit(job));
  }

  std::uint32_t object(std::uint32_t edge, std::size_t turn) const { return static_cast<std::uint32_t>(turn * window_.waiters.size() + edge); }

  bool moved(const GraphStep& wake) const { return change_.given_back_early && wake.call == trace::Call::unlock && wake.object == change_.given_back_early; }

  // Of each step, the wakes of the lock that come before it when the lock is given back before calls that wait: before the first of the
  // hold that the wake ends.
  std::vector<std::vector<std::uint32_t>> wakes_before_calls(const GraphThread& thread) const {
    std::vector<std::vector<std::uint32_t>> before(thread.steps.size());
    if (!change_.given_back_early) return before;
    std::size_t first = thread.steps.size();  // call of the hold under way
    for (std::size_t i = 0; i < thread.steps.size(); ++i) {
      const GraphStep& step = thread.steps[i];
      if (step.kind == Kind::wait && step.held == change_.given_back_early && first == thread.steps.size()) first = i;
      if (step.kind != Kind::wake || !moved(step)) continue;
      if (step.edge != kNoEdge) before[std::min(first, i)].push_back(step.edge);
      first = thread.steps.size();
    }
    return before;
  }

  // Ends a job of the pool: a wait for the next one.
  bool is_idle(const GraphStep& step) const {
    return step.kind == Kind::wait && step.call == change_.pool.idle_call && (!change_.pool.idle_object || step.object == change_.pool.idle_object);
  }

  // What its threads did between two waits for work are jobs, or several of them: submitted by the wake that ended the wait, else when they
  // began. Those before which nobody waited in the window were there already.
  void add_pool() {
    std::size_t workers = change_.pool.more;
    for (std::size_t member = 0; member < window_.threads.size(); ++member) {
      if (!in_pool(member)) continue;
      ++workers;
      for (std::size_t turn = 0; turn < turns_; ++turn) add_jobs(member, turn);
    }
    program_.workers = {workers};
  }

  void add_jobs(std::size_t member, std::size_t turn) {
    const GraphThread& thread = window_.threads[member];
    std::vector<ReplayStep> steps;
    std::uint32_t edge = kNoEdge;
    double from = window_.begin;
    double done = 0;
    const auto close = [&] {
      if (!steps.empty()) submit(std::move(steps), edge, turn, from);
      steps.clear(), done = 0;
    };
    for (std::size_t i = 0; i < thread.steps.size(); ++i) {
      const GraphStep& step = thread.steps[i];
      if (is_idle(step) || (step.kind == Kind::wait && step.call == trace::Call::none)) close(), edge = step.edge, from = step.end;
      else add_step(steps, member, i, turn), done += step.end - step.begin;
      if (change_.pool.task_seconds > 0 && done >= 0.99 * change_.pool.task_seconds) close();
    }
    close();
  }

  void submit(std::vector<ReplayStep> steps, std::uint32_t edge, std::size_t turn, double from) {
    const auto job = static_cast<std::uint32_t>(program_.jobs.size());
    program_.jobs.push_back({0, std::move(steps)});
    if (edge != kNoEdge) return submitted_[object(edge, turn)].push_back(job);
    const double when = from > window_.begin ? static_cast<double>(turn) * window_.seconds() + from - window_.begin : 0;
    program_.threads.push_back({ReplayStep::delay(when), ReplayStep::submit(job)});
    pace_.push_back(false);
  }

  const WindowGraph& window_;
  const Change& change_;
  std::map<std::uint32_t, std::vector<std::size_t>> kinds_;
  std::size_t turns_;
  ReplayProgram program_;
  std::vector<bool> pace_;  // of the program's threads
  std::vector<std::vector<std::vector<std::uint32_t>>> give_early_;  // by thread and step
  using Place = std::pair<std::size_t, std::size_t>;  // thread and step
  std::map<Place, std::uint32_t> sleeps_;             // that are woken: their objects, one for each turn
  std::multimap<Place, std::uint32_t> sleeps_until_;  // by the run at whose end they are
  std::vector<std::vector<ReplayStep>> helpers_;
  std::map<std::uint32_t, std::vector<std::uint32_t>> submitted_;    // jobs of the pool by the object whose wake brings them
};

// How far the mean of the gains may be off: Student's 95 % interval; of two or three windows what lies between them, and at least a tenth;
// half of it where one alone says nothing of how much they differ.
double deviation_of(const std::vector<double>& gains, double mean) {
  constexpr std::array<double, 8> kStudent = {0, 0, 0, 0, 3.18, 2.78, 2.57, 2.45};
  if (gains.size() < 2) return std::abs(mean) / 2;
  const auto [least, most] = std::minmax_element(gains.begin(), gains.end());
  if (gains.size() < 4) return std::max(*most - *least, std::abs(mean) / 10);
  double squares = 0;
  for (const double gain : gains) squares += (gain - mean) * (gain - mean);
  const auto count = static_cast<double>(gains.size());
  return (gains.size() < kStudent.size() ? kStudent[gains.size()] : 2.2) * std::sqrt(squares / (count - 1) / count);
}

}  // namespace

Change without_waits_for(std::uint64_t lock) {
  Change change;
  change.wait = [lock](const GraphThread&, const GraphStep& step) { return trace::group_of(step.call) == trace::CallGroup::lock && step.object == lock ? 0.0 : 1.0; };
  return change;
}

Change with_shorter_section(std::uint64_t lock, double part) {
  Change change;
  change.run = [lock, part](const GraphThread&, const GraphStep& step) { return step.held == lock ? part : 1.0; };
  change.wait = [lock, part](const GraphThread&, const GraphStep& step) { return step.held == lock && !is_edge(step) ? part : 1.0; };
  return change;
}

Change with_lock_given_back_early(std::uint64_t lock) {
  Change change;
  change.given_back_early = lock;
  return change;
}

Change without_waits_in(trace::Call call, std::uint64_t object, double part) {
  Change change;
  change.wait = [=](const GraphThread&, const GraphStep& step) { return step.call == call && (object == 0 || step.object == object) ? part : 1.0; };
  return change;
}

Change with_less_cpu(const std::map<ThreadId, double>& left) {
  Change change;
  change.run = [left](const GraphThread& thread, const GraphStep&) {
    const auto known = left.find(thread.thread);
    return known == left.end() ? 1.0 : known->second;
  };
  return change;
}

Change with_wakes_for_sleeps(ThreadId sleeper) {
  Change change;
  change.woken = [sleeper](const GraphThread& thread, const GraphStep& step) { return thread.thread == sleeper && step.call == trace::Call::sleep; };
  return change;
}

Change with_divided_work(ThreadId thread, std::size_t ways) {
  Change change;
  change.divided = thread, change.ways = ways;
  return change;
}

Change with_more_workers(Change::Pool pool) {
  Change change;
  change.pool = std::move(pool);
  return change;
}

double replayed_seconds(const WindowGraph& window, double cpus, const Change& change) { return Program(window, change, cpus).run(); }

WhatIfReplay::WhatIfReplay(const Recording& recording, double cpus, std::size_t most_steps) : cpus_(cpus) {
  for (WindowGraph& window : execution_graphs(recording, {cpus, most_steps})) {
    const double unchanged = replayed_seconds(window, cpus, {});
    if (std::abs(unchanged - window.seconds()) <= kAsItWas * window.seconds()) windows_.push_back(std::move(window));
    else ++refused_;
  }
}

WhatIf WhatIfReplay::gain_of(const Change& change, const std::function<bool(const GraphStep&)>& concerns) const {
  WhatIf result;
  std::vector<double> gains;
  double before = 0, after = 0;
  for (const WindowGraph& window : windows_) {
    const auto has = [&](const GraphThread& thread) { return std::any_of(thread.steps.begin(), thread.steps.end(), concerns); };
    if (concerns && std::none_of(window.threads.begin(), window.threads.end(), has)) continue;
    const double seconds = replayed_seconds(window, cpus_, change);
    if (seconds < 0) continue;
    before += window.seconds(), after += seconds;
    gains.push_back(1 - seconds / window.seconds());
  }
  if (gains.empty()) return result;
  result.windows = gains.size(), result.seconds = before;
  result.fraction = 1 - after / before;
  const double deviation = deviation_of(gains, result.fraction);
  result.low = result.fraction - deviation, result.high = result.fraction + deviation;
  return result;
}

}  // namespace tailback::analyzers
