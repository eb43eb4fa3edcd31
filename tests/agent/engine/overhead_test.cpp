// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/overhead.h"

#include <gtest/gtest.h>

namespace tailback::engine {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

AgentCost cost_of(std::uint64_t ns) { return {0, ns, 0, 0, 0}; }

TEST(OverheadGovernor, LeavesACheapAgentAlone) {
  DumpFile closed;
  OverheadGovernor governor;
  governor.begin(5'000'000);
  for (std::uint64_t second = 1; second < 20; ++second)
    EXPECT_EQ(governor.judge(closed, second * kSecond, cost_of(second * kSecond / 100), second * kSecond), 5'000'000u);
}

TEST(OverheadGovernor, SamplesMoreRarelyWhileOverBudgetAndComesBack) {
  DumpFile closed;
  OverheadGovernor governor;
  governor.begin(1'000'000);
  std::uint64_t spent = 0, period = 0;
  for (std::uint64_t second = 1; second <= 3; ++second) period = governor.judge(closed, second * kSecond, cost_of(spent += kSecond / 20), second * kSecond);
  EXPECT_EQ(period, 8'000'000u);
  for (std::uint64_t second = 4; second <= 20; ++second) period = governor.judge(closed, second * kSecond, cost_of(spent += kSecond / 1000), second * kSecond);
  EXPECT_EQ(period, 1'000'000u);
}

TEST(OverheadGovernor, DoesNotJudgeByAMomentOfCpuTime) {
  DumpFile closed;
  OverheadGovernor governor;
  governor.begin(1'000'000);
  EXPECT_EQ(governor.judge(closed, kSecond, cost_of(50'000'000), 100'000'000), 1'000'000u);
}

TEST(AgentCost, CountsDeliveryOfSignals) { EXPECT_EQ((AgentCost{1000, 1, 2, 3, 4}).total_ns(), 1000 * kSignalDeliveryNs + 6); }

}  // namespace
}  // namespace tailback::engine
