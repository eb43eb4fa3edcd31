// SPDX-License-Identifier: Apache-2.0
// The result of an analysis, complete and without judgement left to make: tools/reports only format it. The fields are
// those of docs/report.schema.json; seconds, bytes, counts and fractions as numbers, times relative to the start.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analyzers/finding.h"

namespace tailback::analyzers {

struct Target {
  std::vector<std::string> command;
  std::uint64_t pid = 0;
  std::optional<int> exit_status;  // 128+N when killed by signal N; unknown without the launcher
  std::string started_at;          // ISO 8601, UTC
  double duration_seconds = 0;
  unsigned cpus = 0;
  std::string hostname;
  bool complete = false;
  std::string source;  // the other tool's format that this was read from; empty: a dump of tailback
};

struct Summary {
  double wall_seconds = 0, cpu_seconds = 0, cpu_utilization = 0;  // utilization: CPU time / (wall * cpus)
  std::uint64_t threads_peak = 0, rss_peak_bytes = 0;
  std::string health;    // healthy | degraded | unhealthy
  std::string headline;  // one sentence
};

struct WaitRow {
  std::string cause;      // disk, network, pipe, lock, condition, sleep, poll, ...
  double seconds = 0;
  double by_design_seconds = 0;  // of them: waiting for work
};

struct IoOperation {
  std::string call;       // read, send, fsync, ...
  std::uint64_t calls = 0, errors = 0, bytes = 0;
  double seconds = 0, blocked_seconds = 0, p50_seconds = 0, p99_seconds = 0;
};

struct IoRow {            // a file, a peer, a pipe
  std::string name, kind;
  std::uint64_t calls = 0, errors = 0, bytes = 0;
  double seconds = 0, blocked_seconds = 0, p50_seconds = 0, p99_seconds = 0;
  std::uint64_t opened = 0, turns = 0;           // times opened or connected; requests answered
  double turn_p50_seconds = 0, turn_p99_seconds = 0;
  std::vector<IoOperation> operations;           // most time first
};

struct LockShare {         // what belongs to one place
  Frame culprit;
  double seconds = 0, count = 0;
};

struct LockRow {
  std::string kind, name;  // mutex, read-write lock, spin lock; its symbol, empty when it has none
  std::uint64_t address = 0;
  double wait_seconds = 0, waits = 0, longest_wait_seconds = 0;
  std::uint64_t waiting_threads = 0;
  double held_up_seconds = 0;                             // its holders held others up
  double acquisitions = 0, held_seconds = 0;              // estimated
  double hold_p50_seconds = 0, hold_p99_seconds = 0;      // likewise; 0 not known
  double cpu_inside_seconds = 0, blocked_inside_seconds = 0;  // while it was held
  std::vector<LockShare> holders, waiters;                // most time first
};

struct PoolRow {           // threads that wait for work together
  std::string name;
  Frame idle_place;        // where they wait for it
  std::uint64_t threads = 0;
  double utilization = 0, busy_seconds = 0, idle_seconds = 0, running_seconds = 0, runnable_seconds = 0;
  std::vector<WaitRow> waiting;                           // of busy time, standing still by cause, most first
  double most_busy_threads = 0, saturated_seconds = 0;    // on average over half a second; above the threshold of pool-saturated
  double busiest_fraction = 0;                            // of the busy time, that of the busiest thread
  bool counted = false;                                   // whether tasks can be counted; else what follows is 0
  double tasks = 0, tasks_per_second = 0, tasks_unheard = 0, service_seconds = 0;  // unheard: that found all busy
  double queue_wait_seconds = 0, queue_length = 0, queue_longest = 0;              // mean, mean, most
  std::string queue_how;
  std::vector<Frame> creation_stack;
};

struct PauseMoment { double begin_seconds = 0, seconds = 0; std::uint64_t thread = 0; };  // thread 0: the whole process

struct PauseRow {          // pauses of one cause
  std::string cause, runtime;                             // the latter of a collector, else empty
  double count = 0, total_seconds = 0, fraction = 0;      // of wall time
  bool sampled = false;                                   // the total is an estimate from CPU samples
  double longest_seconds = 0, p50_seconds = 0, p90_seconds = 0, p99_seconds = 0;  // of those known singly
  double added_p99_seconds = 0, added_p999_seconds = 0;   // wait of whoever asks at a random moment
  std::vector<PauseMoment> pauses;                        // in order of time, the first few hundred
  std::vector<Frame> frames;                              // the stack with most of it
};

struct LoopHandlerRow {  // what made long turns of a loop long
  Frame culprit;
  std::uint64_t turns = 0;
  double seconds = 0, longest_turn_seconds = 0;
};

struct EventLoopRow {
  std::uint64_t thread = 0;
  std::string thread_name, call;                          // what it waits in: poll, select, epoll_wait
  Frame culprit;                                          // where
  std::uint64_t turns = 0;
  double seconds = 0, busy_seconds = 0, waiting_seconds = 0;  // of the thread; of them in turns and in waits
  double ready_each = 0;                                  // descriptors that a wait gave, mean
  double turn_p50_seconds = 0, turn_p99_seconds = 0, turn_longest_seconds = 0;
  double lag_mean_seconds = 0, lag_p99_seconds = 0;       // at a random moment, until the turn is over
  std::uint64_t late_timers = 0;                          // time-outs that had passed when they could be served
  double late_p99_seconds = 0, late_longest_seconds = 0;
  double long_turns = 0;                                  // of 10 ms and more
  std::vector<LoopHandlerRow> handlers;                   // most time first
};

struct AllocationRow {     // what one place of the program's own code allocated
  Frame culprit;
  double blocks = 0, bytes = 0, bytes_deviation = 0;  // the last: standard deviation of the estimate, 0 exact
  double live_blocks = 0, live_bytes = 0;             // in the end
  double peak_bytes = 0;                              // live when the process's live bytes were highest
  double temporary = 0, reallocations = 0;            // blocks
  double cost_seconds = 0;                            // inside the allocator
  std::uint64_t samples = 0;
  std::vector<Frame> frames;                          // its stack with most bytes
};

struct LiveLevel { double seconds = 0, bytes = 0; };

struct Allocations {
  bool known = false, exact = false;
  std::string allocator;                              // empty: not known
  double blocks = 0, bytes = 0, bytes_deviation = 0;
  double live_blocks = 0, live_bytes = 0, peak_bytes = 0, peak_bound_bytes = 0;
  double cost_seconds = 0, cost_fraction = 0;         // inside the allocator; of CPU time
  std::uint64_t unknown_frees = 0;                    // of blocks from before the recording, or that were not seen
  std::vector<LiveLevel> live;                        // over time
  std::vector<AllocationRow> sites;                   // most bytes first, the first few hundred
};

struct ThreadRow {
  std::uint64_t id = 0, tid = 0;
  std::string name, start_routine;
  double start_seconds = 0, end_seconds = 0;
  double cpu_seconds = 0, user_seconds = 0, system_seconds = 0;  // cpu_seconds: the thread's CPU clock, exact
  std::optional<double> run_delay_seconds;
  double sampled_seconds = 0, unsampled_seconds = 0;             // of cpu_seconds, with and without a stack
  std::uint64_t voluntary_switches = 0, involuntary_switches = 0, minor_faults = 0, major_faults = 0, samples = 0;
  std::uint64_t count = 1;  // > 1: a group of short-lived threads, all figures summed
  std::string role;                       // working, held up, idle worker, event loop, timer, coordinator; empty: not known
  std::vector<WaitRow> waiting;           // by cause, most first; with CPU time, run delay and the rest it makes up the thread's life
  std::optional<double> unexplained_seconds;
  std::vector<Frame> creation_stack;
};

struct RuleOutcome {  // one for each rule of the registry: what was looked at
  std::string rule;
  enum { found, fine, not_applicable } outcome = fine;
  std::string detail;  // "not applicable, because ..." or what was checked and found fine
};

struct RecordingQuality {
  std::uint64_t dropped_events = 0;
  std::string detail;
  double truncated_stacks_fraction = 0, unresolved_frames_fraction = 0, overhead_fraction = 0;
  std::uint64_t dump_bytes = 0;
  std::vector<std::string> notes;
};

struct Report {
  Target target;
  Summary summary;
  std::vector<Finding> findings;  // ranked
  std::vector<ThreadRow> threads; // busiest first
  std::vector<WaitRow> waiting;   // of all threads, most first
  std::vector<IoRow> io;          // most time first
  std::vector<LockRow> locks;     // most waiting first
  std::vector<PoolRow> pools;     // busiest first
  std::vector<PauseRow> pauses;   // most time first
  std::vector<EventLoopRow> event_loops;  // busiest first
  Allocations allocations;
  std::vector<RuleOutcome> rules;
  RecordingQuality recording;
};

}  // namespace tailback::analyzers
