// SPDX-License-Identifier: Apache-2.0
// Notices that the process stood still: while the program is busy, the agent's thread sleeps for 20 to 50 ms at a time, and a sleep that took
// much longer tells that it, and so most likely every thread, was stopped, frozen, throttled or kept from a CPU. What the kernel counted
// meanwhile goes into the record; what it was is decided offline. While the program is idle it does not run: the quarter of a second
// of the agent's thread is all there is. On the helper thread, which alone may call it.
#pragma once
#include "agent/engine/detail.h"
#include "agent/engine/dump_file.h"
#include "agent/engine/sampler_system.h"
#include "agent/engine/stopped_world.h"

namespace tailback::engine {

class PauseSentinel {
 public:
  static constexpr std::uint64_t kSliceNs = 20'000'000, kLongSliceNs = 50'000'000;  // the latter while the program uses little

  // The helper starts. `session_start_ns`: CLOCK_MONOTONIC.
  void begin(const SystemSampler& system, const capture::ThreadTable& threads, std::uint64_t session_start_ns);
  // For how long to sleep at most.
  std::uint64_t slice_ns(std::uint64_t longest_ns) const { return slice_ns_ ? slice_ns_ : longest_ns; }
  bool busy() const { return slice_ns_ != 0; }  // the program uses a CPU, as far as is known
  // The helper goes to sleep now; returns CLOCK_MONOTONIC.
  std::uint64_t sleeps();
  // Back from that sleep, which should have ended at `due_ns`. Takes no lock.
  void woke(std::uint64_t due_ns, std::uint64_t now_ns);
  // Each quarter of a second: whether the program is busy from now on; the counters that a pause is measured against.
  void tick(std::uint64_t now_ns, std::uint64_t agent_cpu_ns);
  // Writes what was seen since the last time. Under the drain lock.
  void write(DumpFile& dump, Detail& detail);

 private:
  struct Counters {
    std::uint64_t process_cpu_ns, run_delay_ns, throttled_ns, steal_ns, switches;
  };
  Counters counters() const;

  static constexpr std::uint32_t kSeen = 16;

  const SystemSampler* system_ = nullptr;
  std::uint64_t session_start_ns_ = 0;
  std::uint64_t slice_ns_ = kSliceNs;  // 0: the program is idle
  std::uint64_t last_tick_ns_ = 0, program_cpu_ns_ = 0, read_ns_ = 0;
  std::uint64_t begun_ns_ = 0, process_cpu_ns_ = 0, switches_ = 0;  // when the sleep began
  Counters before_{};                                // at the last tick, while the program is idle at the last second
  trace::PauseSeen seen_[kSeen];
  std::uint32_t count_ = 0;
  StoppedWorld world_;
  trace::WorldStopped worlds_[kSeen];
  std::uint32_t world_count_ = 0;
};

}  // namespace tailback::engine
