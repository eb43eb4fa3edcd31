// SPDX-License-Identifier: Apache-2.0
// Replays threads that run, wait and wake each other on a number of CPUs, and says how long they take: a deterministic simulation of
// discrete events that knows nothing of dumps. Threads that want to run share the CPUs evenly (processor sharing, what fair time slices
// come to). Whoever wakes gives tokens, whoever waits takes one: an edge of a graph of wakes is an object of its own, a lock is an object
// with one token at the start. Pools of like workers take jobs in the order in which these were submitted.
// Time: O(log threads) for each step. Not limited in time otherwise: every step is taken once.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tailback::analyzers {

struct ReplayStep {
  enum class Kind : std::uint8_t {
    run,     // needs `seconds` of a CPU
    delay,   // waits for `seconds` for something outside
    take,    // waits for a token of the object; who had to wait goes on `seconds` after he got it
    give,    // adds `count` tokens to the object
    submit,  // hands job `object` to its pool
  };
  Kind kind = Kind::run;
  std::uint32_t object = 0;
  std::uint32_t count = 1;
  double seconds = 0;

  static ReplayStep run(double seconds) { return {Kind::run, 0, 1, seconds}; }
  static ReplayStep delay(double seconds) { return {Kind::delay, 0, 1, seconds}; }
  static ReplayStep take(std::uint32_t object, double latency = 0) { return {Kind::take, object, 1, latency}; }
  static ReplayStep give(std::uint32_t object, std::uint32_t count = 1) { return {Kind::give, object, count, 0}; }
  static ReplayStep submit(std::uint32_t job) { return {Kind::submit, job, 1, 0}; }
};

struct ReplayJob {
  std::uint32_t pool = 0;
  std::vector<ReplayStep> steps;
};

struct ReplayProgram {
  double cpus = 0;                               // 0: as many as threads
  std::vector<std::vector<ReplayStep>> threads;
  std::vector<ReplayJob> jobs;                   // each submitted once at most
  std::vector<std::size_t> workers;              // of each pool
  std::vector<std::uint32_t> tokens;             // of each object at the start
};

struct ReplayTimes {  // seconds of one thread, or of all workers of a pool
  double finished = 0;  // when its last step was done
  double running = 0, queued = 0, delayed = 0, waiting = 0;  // queued: wants a CPU beyond its share
};

struct ReplayPool {
  ReplayTimes times;
  std::uint64_t jobs = 0;    // done
  double submitted_to_begun = 0, submitted_to_done = 0;  // seconds, sums over jobs
};

struct ReplayResult {
  double seconds = 0;                // until the last step of all
  double cpu_seconds = 0;
  std::vector<ReplayTimes> threads;  // as in the program
  std::vector<ReplayPool> pools;
  std::size_t stuck = 0;             // threads and jobs that waited for what never came
};

ReplayResult replay(const ReplayProgram& program);

}  // namespace tailback::analyzers
