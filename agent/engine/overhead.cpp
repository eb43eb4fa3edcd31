// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/overhead.h"

namespace tailback::engine {

namespace {
constexpr std::uint64_t kEnoughCpuNs = 200'000'000;      // judge over at least so much CPU time of the process
constexpr std::uint64_t kLongestPeriodNs = 1'000'000'000;
}  // namespace

void OverheadGovernor::begin(std::uint64_t period_ns) {
  asked_period_ns_ = period_ns_ = period_ns;
  last_cost_ns_ = last_cpu_ns_ = 0;
}

void OverheadGovernor::write(DumpFile& dump, std::uint64_t now_ns, const AgentCost& cost) const {
  trace::Overhead record;
  record.t = now_ns;
  record.samples = cost.samples;
  record.handler_ns = cost.handler_ns;
  record.delivery_ns = cost.samples * kSignalDeliveryNs;
  record.helper_cpu_ns = cost.helper_cpu_ns;
  record.hook_ns = cost.hook_ns;
  record.memory_bytes = cost.memory_bytes;
  record.dump_bytes = dump.used_bytes();
  dump.append(record);
}

std::uint64_t OverheadGovernor::judge(DumpFile& dump, std::uint64_t now_ns, const AgentCost& cost, std::uint64_t process_cpu_ns) {
  const std::uint64_t cpu = process_cpu_ns - last_cpu_ns_;
  if (process_cpu_ns < last_cpu_ns_ || cpu < kEnoughCpuNs) return period_ns_;
  const std::uint64_t spent = cost.total_ns() - last_cost_ns_;
  last_cpu_ns_ = process_cpu_ns;
  last_cost_ns_ = cost.total_ns();
  const std::uint64_t before = period_ns_;
  const char* reason = nullptr;
  if (spent * 50 > cpu && period_ns_ * 2 <= kLongestPeriodNs) {
    period_ns_ *= 2;
    reason = "the agent's cost exceeded 2 % of the process's CPU time";
  } else if (spent * 200 < cpu && period_ns_ > asked_period_ns_) {
    period_ns_ = period_ns_ / 2 > asked_period_ns_ ? period_ns_ / 2 : asked_period_ns_;
    reason = "the agent's cost fell below 0.5 % of the process's CPU time";
  }
  if (period_ns_ != before) dump.append(trace::Governor{now_ns, period_ns_, reason});
  return period_ns_;
}

}  // namespace tailback::engine
