// SPDX-License-Identifier: Apache-2.0
// What the agent costs, from its own counters and calibrated unit costs, and the governor that keeps it within its budget
// (2 % of the process's CPU time) by sampling more rarely. Under the drain lock; signal-safe.
#pragma once
#include "agent/engine/dump_file.h"

namespace tailback::engine {

// Cost of delivering one signal and returning from it, beyond the handler's own time (measured: 1.55 us; docs/performance.md).
inline constexpr std::uint64_t kSignalDeliveryNs = 1550;

struct AgentCost {
  std::uint64_t samples, handler_ns, helper_cpu_ns, hook_ns, memory_bytes;
  std::uint64_t total_ns() const { return handler_ns + samples * kSignalDeliveryNs + helper_cpu_ns + hook_ns; }
};

class OverheadGovernor {
 public:
  void begin(std::uint64_t period_ns);
  void write(DumpFile& dump, std::uint64_t now_ns, const AgentCost& cost) const;
  // The sampling period to use from now on: doubled while the last stretch cost more than 2 % of the process's CPU time,
  // halved again, down to what was asked, when it cost less than 0.5 %. Records a change.
  std::uint64_t judge(DumpFile& dump, std::uint64_t now_ns, const AgentCost& cost, std::uint64_t process_cpu_ns);

 private:
  std::uint64_t asked_period_ns_ = 0, period_ns_ = 0;
  std::uint64_t last_cost_ns_ = 0, last_cpu_ns_ = 0;
};

}  // namespace tailback::engine
