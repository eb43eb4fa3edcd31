// SPDX-License-Identifier: Apache-2.0
// Counters of threads: at its end a thread reads its own (two cheap system calls), while it lives the engine reads them from
// outside, about once a second, each file opened, read and closed, within a budget of time. Signal-safe.
#pragma once
#include "agent/engine/drain.h"

namespace tailback::engine {

enum class RunDelaySource { none, schedstat };  // as in machine.run_delay_source

// Which source of run-queue delay this kernel offers (schedstat reads as zeros on some).
RunDelaySource probe_run_delay_source();

// The calling thread's own final figures. One that lived long is worth its name and, where the kernel has it, the 3 us of reading
// its run-queue delay.
void read_own_counters(capture::ThreadBlock& block, bool long_lived, bool run_delay);

class ThreadSampler {
 public:
  void init(capture::ThreadTable& threads, Drain& drain, RunDelaySource source);
  // Writes the states of threads whose CPU clock moved, for at most `budget_ns`; goes on where it stopped.
  void sample(std::uint64_t now_ns, std::uint64_t session_start_ns, std::uint64_t budget_ns);
  // All live threads, at the end of the recording, whatever it takes (bounded by kMaxThreads).
  void sample_all(std::uint64_t now_ns);

 private:
  void sample_one(capture::ThreadBlock& block, std::uint64_t now_ns);
  void read_counters(capture::ThreadBlock& block, capture::ThreadCounters& counters);

  capture::ThreadTable* threads_ = nullptr;
  Drain* drain_ = nullptr;
  RunDelaySource source_ = RunDelaySource::none;
  std::uint32_t next_slot_ = 0;
};

}  // namespace tailback::engine
