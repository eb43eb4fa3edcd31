// SPDX-License-Identifier: Apache-2.0
// From the threads' rings and blocks to records in the dump. Runs under the drain lock, on the helper thread, on a thread that
// ends, or, in a process with one thread, inside the sampling handler. Signal-safe.
#pragma once
#include "agent/capture/thread.h"
#include "agent/engine/aggregate.h"
#include "agent/engine/call_writer.h"
#include "agent/engine/detail.h"
#include "agent/engine/stack_writer.h"
#include "agent/engine/stretches.h"

namespace tailback::engine {

class Drain {
 public:
  bool init(capture::ThreadTable& threads, StackWriter& stacks, CpuAggregate& aggregate, Detail& detail, DumpFile& dump, CallWriter& calls, Stretches& stretches);
  // A new dump from now on; times are counted from `session_start_ns` (CLOCK_MONOTONIC).
  void begin(std::uint64_t session_start_ns);

  // `singly`: write each sample as its own record (process with one thread), else aggregate.
  void thread(capture::ThreadBlock& block, bool singly);
  void all_threads(bool singly);
  // The sums of calls. `all`: of threads that make none now, what they are inside of as well.
  void calls(capture::ThreadBlock& block, bool all, std::uint64_t now_ns);
  void all_calls(bool all, std::uint64_t now_ns);
  // Only the single calls that threads keep inside a detail window.
  void all_events();
  // What each thread is inside of now.
  void pending_calls(std::uint64_t now_ns);
  // Ends the aggregates' interval.
  void flush(std::uint64_t now_ns);
  // The thread's counters as a record, when they changed since the last one or `ended`.
  void write_state(capture::ThreadBlock& block, const capture::ThreadCounters& counters, bool ended, std::uint64_t now_ns);
  void write_name(capture::ThreadBlock& block, const char* name, std::uint64_t now_ns);
  void write_groups(std::uint64_t now_ns);
  // After this the thread is in the dump.
  void announce(capture::ThreadBlock& block);

  std::uint64_t samples() const { return samples_; }  // drained so far
  std::uint64_t handler_ns_of_ended() const { return handler_ns_of_ended_; }
  std::uint64_t samples_of_ended() const { return samples_of_ended_; }
  std::uint64_t lost_records() const { return lost_records_; }
  std::uint64_t last_flush_ns() const { return interval_begin_; }

 private:
  struct Group {
    trace::ThreadGroup sums;
  };
  static constexpr std::uint32_t kGroups = 256;
  static constexpr std::uint64_t kThreadsListed = 16384;  // beyond, ended threads without a sample are summed by group

  void sample(capture::ThreadBlock& block, const capture::Sample& sample, bool singly);
  void collect(capture::ThreadBlock& block);
  bool sum_up(capture::ThreadBlock& block);

  capture::ThreadTable* threads_ = nullptr;
  StackWriter* stacks_ = nullptr;
  CpuAggregate* aggregate_ = nullptr;
  Detail* detail_ = nullptr;
  DumpFile* dump_ = nullptr;
  CallWriter* calls_ = nullptr;
  Stretches* stretches_ = nullptr;
  Group* groups_ = nullptr;
  std::uint64_t session_start_ns_ = 0;
  std::uint64_t interval_begin_ = 0;
  std::uint64_t listed_ = 0;
  std::uint64_t samples_ = 0, lost_records_ = 0;
  std::uint64_t handler_ns_of_ended_ = 0, samples_of_ended_ = 0;
};

}  // namespace tailback::engine
