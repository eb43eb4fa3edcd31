// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/lock_gain.h"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/model/own_frame.h"
#include "analyzers/model/patterns.h"

namespace tailback::analyzers {
namespace {

constexpr double kMostlyServes = 0.5;  // of their lives waiting for work: then answers get faster, not the program
constexpr double kWorthReplaying = 0.03;  // of wall time in the longest wait: no lock can bring more
constexpr double kInTurns = 1.5;       // times the longest life that threads waiting for the lock are there: then they come after each other
constexpr double kHalf = 0.5;          // what surely comes of a repair that shortens the section and does not remove it

struct Contender {
  double running = 0;  // seconds
  double wait = 0;     // off the CPU
  double turn = 0;     // until it had the lock: also for a CPU once it was given on
  double need = 0;     // what it needs without the waits
};

struct Contenders {
  std::vector<Contender> all;
  double before = 0;   // seconds: the longest life
  double lived = 0;    // seconds in which any of them lived
  double running = 0, waits = 0, turns = 0, needs = 0, engaged = 0, lives = 0, by_design = 0;

  // Threads made for each batch of work, or each request: no single one's life says what all take; their average does.
  bool in_turns() const { return lived >= kInTurns * before && lives > 0; }
  double span() const { return in_turns() ? lived : before; }

  // Of the CPU time of going to sleep and waking, each has its part.
  double part_of(const Contender& one, double overhead) const { return running > 0 ? overhead * one.running / running : 0; }
  double need_of_slowest(double overhead) const {
    if (in_turns()) return lived * std::max(0.0, needs - overhead) / lives;
    double most = 0;
    for (const Contender& one : all) most = std::max(most, one.need - part_of(one, overhead));
    return most;
  }
  double most_wait() const {
    if (in_turns()) return lived * waits / lives;
    double most = 0;
    for (const Contender& one : all) most = std::max(most, one.wait);
    return most;
  }
  double most_saved(double overhead) const {
    if (in_turns()) return lived * std::min(1.0, (turns + overhead) / lives);
    double most = 0;
    for (const Contender& one : all) most = std::max(most, one.turn + part_of(one, overhead));
    return most;
  }
};

// The time in which threads lived that wait for the lock, bin by bin: what others did before or after is no bound for these.
std::vector<bool> span_of(const Model& model, const Lock& lock) {
  std::vector<bool> span(model.timeline.process.size());
  for (const ThreadTimeline& thread : model.timeline.threads)
    for (std::size_t bin = 0; bin < thread.bins.size() && bin < span.size(); ++bin)
      if (thread.bins[bin].alive > 0 && lock.wait_by_thread.contains(thread.thread)) span[bin] = true;
  return span;
}

Contenders contenders_of(const Model& model, const Lock& lock, double part) {
  Contenders found;
  for (const ThreadWaits& thread : model.waits.threads) {
    const auto known = lock.wait_by_thread.find(thread.thread);
    if (known == lock.wait_by_thread.end()) continue;
    const double wait = std::min(known->second, thread.blocked_seconds()) * part;
    found.before = std::max(found.before, thread.alive);
    const double idle = thread.by_design() - (lock.of_interpreter() ? std::min(wait, thread.by_design()) : 0);  // its waits are on a condition, but not for work
    found.all.push_back({thread.running, wait, std::min(known->second * part, thread.blocked_seconds() + thread.runnable), thread.alive - thread.runnable - wait - idle});
    found.turns += found.all.back().turn, found.needs += found.all.back().need;
    found.running += thread.running;
    found.waits += wait, found.engaged += thread.engaged(), found.lives += thread.alive, found.by_design += idle;
  }
  const std::vector<bool> span = span_of(model, lock);
  for (std::size_t bin = 0; bin < span.size(); ++bin)
    if (span[bin]) found.lived += model.timeline.process[bin].length;
  return found;
}

struct Clocks {
  double running = 0, runnable = 0;
};

Clocks clocks_within(const ThreadTimeline& thread, const std::vector<bool>& span) {
  Clocks clocks;
  for (std::size_t bin = 0; bin < thread.bins.size() && bin < span.size(); ++bin)
    if (span[bin]) clocks.running += static_cast<double>(thread.bins[bin].running), clocks.runnable += static_cast<double>(thread.bins[bin].runnable);
  return clocks;
}

struct Others {
  double slowest = 0;  // of threads that have nothing to do with the lock: the program is not done before they are
  double cpu = 0;      // seconds, of all threads
};

Others others_of(const Model& model, const Lock& lock) {
  const std::vector<bool> span = span_of(model, lock);
  Others found;
  for (const ThreadTimeline& line : model.timeline.threads) {
    const Clocks clocks = clocks_within(line, span);
    found.cpu += clocks.running;
    const ThreadWaits* thread = model.waits.find(line.thread);
    if (!thread || lock.wait_by_thread.contains(line.thread)) continue;
    found.slowest = std::max(found.slowest, clocks.running + clocks.runnable + thread->blocked_seconds() - thread->by_design());  // when it was blocked is not known
  }
  return found;
}

bool has_any_of(const std::string& name, std::initializer_list<const char*> parts) {
  return std::any_of(parts.begin(), parts.end(), [&](const char* part) { return name.find(part) != std::string::npos; });
}

// Whether a stack ends in a function by which threads wait for locks or wake each other; `syscall` is what locks made of a futex call.
bool ends_in_lock(const Model& model, StackId stack) {
  const auto frames = model.symbols->frames(stack);
  if (frames.empty() || frames.front().function == 0) return false;
  const std::string bare = bare_name(model.symbols->full_name(frames.front().function));
  return bare == "syscall" || has_any_of(bare, {"lll_lock", "pthread_mutex_", "pthread_rwlock_", "futex_wa"});
}

// The functions that wait for the lock or give it on, and their callers: who gives it back as the last that he does is no longer on the stack.
std::set<std::string> functions_around(const Model& model, const Lock& lock) {
  constexpr std::size_t kOwn = 2;
  std::set<std::string> functions;
  for (const auto* places : {&lock.waiters, &lock.holders})
    for (const LockPlace& place : *places) {
      const std::vector<Frame> frames = place.stack ? own_frames(model, place.stack) : std::vector<Frame>{};
      for (std::size_t i = 0; i < std::min(frames.size(), kOwn); ++i) functions.insert(frames[i].function);
    }
  return functions;
}

// CPU seconds of going to sleep and of waking who sleeps, which go with the waits. Threads that run for moments have few samples: each
// group's part is taken of its CPU clocks.
double cpu_of_waiting(const Model& model, const Lock& lock) {
  const std::set<std::string> functions = functions_around(model, lock);
  double seconds = 0;
  for (const ThreadGroup& group : model.cpu.groups) {
    double waiting = 0, all = 0;
    for (const StackWeight& weight : group.stacks) {
      const auto ns = static_cast<double>(weight.ns);
      all += ns;
      if (ends_in_lock(model, weight.stack) && functions.contains(own_frame(model, weight.stack).function)) waiting += ns;
    }
    if (all > 0) seconds += static_cast<double>(group.cpu_ns) * 1e-9 * waiting / all;
  }
  return seconds;
}

// Windows in which somebody waits for the lock, replayed without these waits.
std::optional<Gain> replayed_gain(const Model& model, const Lock& lock, const Contenders& contenders, double overhead, const std::string& why) {
  const double wall = model.timeline.wall_seconds, life = contenders.span() / wall;
  const auto waits = [&](const GraphStep& step) { return step.kind == GraphStep::Kind::wait && is_lock_call(step.call) && step.object == lock.address; };
  Change change = without_waits_for(lock.address);
  const double left = 1 - std::min(1.0, overhead / std::max(contenders.running, 1e-9));
  change.run = [&, left](const GraphThread& thread, const GraphStep&) { return lock.wait_by_thread.contains(thread.thread) ? left : 1.0; };
  const WhatIf replayed = model.what_if.gain_of(change, waits);
  if (!replayed.says_enough()) return std::nullopt;
  const WhatIf halved = model.what_if.gain_of(with_shorter_section(lock.address, kHalf), waits);
  Gain gain;
  gain.fraction = replayed.fraction * life;
  gain.low = std::min(replayed.low, halved.fraction) * life;
  gain.high = replayed.high * life;
  gain.how = fmt::format("{} detail windows with waits for the lock ({:.2f} s) replayed on {:.0f} CPUs without these waits: {:.0f} % less time; {:.0f} % less if the section only takes half as long; {}",
                         replayed.windows, replayed.seconds, model.timeline.cpus, 100 * replayed.fraction, 100 * halved.fraction, why);
  return bounded(gain);
}

}  // namespace

Gain gain_of_less_waiting(const Model& model, const Lock& lock, double part, const std::string& why) {
  const double wall = model.timeline.wall_seconds;
  const Contenders contenders = contenders_of(model, lock, part);
  Gain gain;
  if (wall <= 0 || contenders.lives <= 0) return gain;
  if (contenders.by_design >= kMostlyServes * contenders.lives) {
    gain.metric = "latency";
    gain.fraction = gain.high = contenders.engaged > 0 ? contenders.waits / contenders.engaged : 0;
    gain.low = kHalf * gain.fraction;
    gain.how = fmt::format("waits for the lock as a part of the time in which these threads are not waiting for work; {}", why);
    return bounded(gain);
  }
  const Others others = others_of(model, lock);
  const double overhead = part * cpu_of_waiting(model, lock);
  const bool worth_it = part >= 1 && !lock.of_interpreter() && contenders.most_wait() >= kWorthReplaying * wall;
  if (const auto replayed = worth_it ? replayed_gain(model, lock, contenders, overhead, why) : std::nullopt) return *replayed;
  const double work = others.cpu - std::min(overhead, others.cpu);
  const double cpu = work / std::max(1.0, model.timeline.cpus);
  const double need = contenders.need_of_slowest(overhead);
  const double after = std::max({need, cpu, others.slowest});
  gain.high = contenders.most_saved(overhead) / wall;
  gain.fraction = std::min(std::max(0.0, contenders.span() - after) / wall, gain.high);  // no thread is done earlier than by what it waits, and does for it
  gain.low = kHalf * gain.fraction;
  gain.how = fmt::format("without {} of waiting in each the threads need {:.2f} s instead of {:.2f} s: the longest of what the slowest has left to do ({:.2f} s) and all CPU time "
                         "over {:.0f} CPUs ({:.2f} s, less the {:.2f} s that going to sleep and waking takes); half of it if the section only gets shorter; {}",
                         part < 1 ? "that part" : "all", after, contenders.span(), need, model.timeline.cpus, cpu, overhead, why);
  return bounded(gain);
}

}  // namespace tailback::analyzers
