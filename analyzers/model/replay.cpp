// SPDX-License-Identifier: Apache-2.0
// Processor sharing in virtual time: a clock that advances by what each thread that wants a CPU gets of one. A run step is over when that
// clock has advanced by its seconds, however many threads came and went meanwhile.
#include "analyzers/model/replay.h"

#include <algorithm>
#include <deque>
#include <queue>

namespace tailback::analyzers {
namespace {

constexpr std::uint32_t kNobody = ~0u;

struct Timer {
  double at = 0;
  std::uint64_t number = 0;  // who came first goes first
  std::uint32_t actor = 0;
  bool operator<(const Timer& other) const { return at != other.at ? at > other.at : number > other.number; }
};

struct Actor {  // a thread, or a worker of a pool
  const std::vector<ReplayStep>* steps = nullptr;
  std::size_t next = 0;
  ReplayTimes* times = nullptr;
  std::uint32_t pool = kNobody, job = kNobody;
  std::uint32_t behind = kNobody;  // who waits for the same object next
  double since = 0;                // when it began to wait
  double wanted = 0;               // of a CPU; of a take, the latency
};

struct Object {
  std::uint32_t tokens = 0, first = kNobody, last = kNobody;
};

struct Pool {
  std::deque<std::uint32_t> idle, queued;  // workers; jobs
};

class Simulation {
 public:
  explicit Simulation(const ReplayProgram& program) : program_(program), objects_(program.tokens.size()), pools_(program.workers.size()), submitted_(program.jobs.size()) {
    result_.threads.resize(program.threads.size());
    result_.pools.resize(program.workers.size());
    for (std::size_t i = 0; i < objects_.size(); ++i) objects_[i].tokens = program.tokens[i];
    for (std::size_t i = 0; i < program.threads.size(); ++i) actors_.push_back({.steps = &program.threads[i], .times = &result_.threads[i]});
    for (std::uint32_t pool = 0; pool < pools_.size(); ++pool)
      for (std::size_t i = 0; i < program.workers[pool]; ++i) {
        pools_[pool].idle.push_back(static_cast<std::uint32_t>(actors_.size()));
        actors_.push_back({.times = &result_.pools[pool].times, .pool = pool});
      }
  }

  ReplayResult run() {
    for (std::uint32_t i = 0; i < program_.threads.size(); ++i) ready_.push_back(i);
    go_on();
    while (advance()) go_on();
    for (const Object& object : objects_)
      for (std::uint32_t waiting = object.first; waiting != kNobody; waiting = actors_[waiting].behind) ++result_.stuck;
    for (const Pool& pool : pools_) result_.stuck += pool.queued.size();
    result_.seconds = now_;
    return std::move(result_);
  }

 private:
  double rate() const {
    const auto wanting = static_cast<double>(running_.size());
    return program_.cpus > 0 && wanting > program_.cpus ? program_.cpus / wanting : 1;
  }

  // To the next moment at which a step is over. False: nobody has any that ends.
  bool advance() {
    if (running_.empty() && delayed_.empty()) return false;
    const double share = rate();
    const double ran = running_.empty() ? 0 : now_ + std::max(0.0, running_.top().at - virtual_) / share;
    if (delayed_.empty() || (!running_.empty() && ran <= delayed_.top().at)) {
      virtual_ = std::max(virtual_, running_.top().at);
      now_ = std::max(now_, ran);
      end_of_run(running_.top().actor);
      running_.pop();
      return true;
    }
    const double later = std::max(now_, delayed_.top().at);
    if (!running_.empty()) virtual_ += (later - now_) * share;
    now_ = later;
    Actor& actor = actors_[delayed_.top().actor];
    actor.times->delayed += now_ - actor.since;
    ready_.push_back(delayed_.top().actor);
    delayed_.pop();
    return true;
  }

  void end_of_run(std::uint32_t number) {
    Actor& actor = actors_[number];
    actor.times->running += actor.wanted;
    actor.times->queued += std::max(0.0, now_ - actor.since - actor.wanted);
    result_.cpu_seconds += actor.wanted;
    ready_.push_back(number);
  }

  void go_on() {
    for (; !ready_.empty(); ready_.pop_front()) take_steps(ready_.front());
  }

  void take_steps(std::uint32_t number) {
    do
      while (actors_[number].next < actors_[number].steps->size())
        if (!take_step(number, (*actors_[number].steps)[actors_[number].next++])) return;
    while (ended(number));
  }

  // False: it waits, and goes on behind this step.
  bool take_step(std::uint32_t number, const ReplayStep& step) {
    Actor& actor = actors_[number];
    actor.since = now_;
    switch (step.kind) {
      case ReplayStep::Kind::run:
        if (!(step.seconds > 0)) return true;
        actor.wanted = step.seconds;
        running_.push({virtual_ + step.seconds, ++number_, number});
        return false;
      case ReplayStep::Kind::delay:
        if (!(step.seconds > 0)) return true;
        delayed_.push({now_ + step.seconds, ++number_, number});
        return false;
      case ReplayStep::Kind::take: return actor.wanted = step.seconds, took(number, objects_[step.object]);
      case ReplayStep::Kind::give: return give(objects_[step.object], step.count), true;
      case ReplayStep::Kind::submit: return submit(step.object), true;
    }
    return true;
  }

  bool took(std::uint32_t number, Object& object) {
    if (object.tokens > 0) return --object.tokens, true;
    actors_[number].behind = kNobody;
    if (object.first == kNobody) object.first = number;
    else actors_[object.last].behind = number;
    object.last = number;
    return false;
  }

  void give(Object& object, std::uint32_t count) {
    for (; count > 0 && object.first != kNobody; --count) {
      const std::uint32_t woken = object.first;
      object.first = actors_[woken].behind;
      wake(woken);
    }
    object.tokens += count;
  }

  void wake(std::uint32_t number) {
    Actor& actor = actors_[number];
    actor.times->waiting += now_ - actor.since;
    actor.since = now_;
    if (actor.wanted > 0) delayed_.push({now_ + actor.wanted, ++number_, number});
    else ready_.push_back(number);
  }

  void submit(std::uint32_t job) {
    Pool& pool = pools_[program_.jobs[job].pool];
    submitted_[job] = now_;
    if (pool.idle.empty()) return pool.queued.push_back(job);
    begin(pool.idle.front(), job);
    ready_.push_back(pool.idle.front());
    pool.idle.pop_front();
  }

  void begin(std::uint32_t worker, std::uint32_t job) {
    Actor& actor = actors_[worker];
    actor.steps = &program_.jobs[job].steps, actor.next = 0, actor.job = job;
    result_.pools[actor.pool].submitted_to_begun += now_ - submitted_[job];
  }

  // Whether there is another job for it.
  bool ended(std::uint32_t number) {
    Actor& actor = actors_[number];
    actor.times->finished = now_;
    if (actor.pool == kNobody) return false;
    ReplayPool& sums = result_.pools[actor.pool];
    ++sums.jobs, sums.submitted_to_done += now_ - submitted_[actor.job];
    actor.steps = nullptr;
    Pool& pool = pools_[actor.pool];
    if (pool.queued.empty()) return pool.idle.push_back(number), false;
    begin(number, pool.queued.front());
    pool.queued.pop_front();
    return true;
  }

  const ReplayProgram& program_;
  std::vector<Actor> actors_;
  std::vector<Object> objects_;
  std::vector<Pool> pools_;
  std::vector<double> submitted_;  // by job
  std::priority_queue<Timer> running_, delayed_;  // by virtual time; by time
  std::deque<std::uint32_t> ready_;
  double now_ = 0, virtual_ = 0;
  std::uint64_t number_ = 0;
  ReplayResult result_;
};

}  // namespace

ReplayResult replay(const ReplayProgram& program) { return Simulation(program).run(); }

}  // namespace tailback::analyzers
