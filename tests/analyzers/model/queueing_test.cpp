// SPDX-License-Identifier: Apache-2.0
// Against answers that queueing theory has in closed form.
#include "analyzers/model/queueing.h"

#include <gtest/gtest.h>

#include <cmath>

namespace tailback::analyzers {
namespace {

TEST(Queueing, OneServerWaitsAsMM1Does) {
  for (const double load : {0.1, 0.5, 0.9}) {
    EXPECT_NEAR(waiting_probability(1, load), load, 1e-12);
    EXPECT_NEAR(mean_wait(1, load, 0.01), load * 0.01 / (1 - load), 1e-12);
  }
}

TEST(Queueing, TwoServersWaitAsErlangSaysTheyDo) {
  // C(2, a) = a^2 / (2 + a)
  for (const double load : {0.2, 1.0, 1.8}) EXPECT_NEAR(waiting_probability(2, load), load * load / (2 + load), 1e-12);
}

TEST(Queueing, ManyServersAreComputedWithoutOverflow) {
  EXPECT_NEAR(waiting_probability(1000, 900), 0.0003, 0.0003);
  EXPECT_EQ(waiting_probability(10, 0), 0);
  EXPECT_EQ(waiting_probability(10, 10), 1);
  EXPECT_TRUE(std::isinf(mean_wait(4, 4, 1)));
}

TEST(Queueing, StaffingIsTheLoadAndTwoDeviations) {
  EXPECT_EQ(staffing(0), 0);
  EXPECT_EQ(staffing(4), 8);
  EXPECT_EQ(staffing(100), 120);
  EXPECT_LT(waiting_probability(staffing(100), 100), 0.05);
}

TEST(Queueing, TasksThatAllComeAtOnceWaitHalfTheTimeOfAll) {
  const Backlog backlog = backlog_of({{0, 1e-6, 100}}, 10);
  EXPECT_NEAR(backlog.finish, 10, 1e-3);
  EXPECT_NEAR(backlog.mean_wait, 5, 1e-3);
  EXPECT_NEAR(backlog.longest, 100, 1e-3);
  EXPECT_NEAR(backlog.mean_length, 50, 1e-2);
}

TEST(Queueing, ASteadySurplusPilesUpAndIsDrainedAfterwards) {
  const Backlog backlog = backlog_of({{0, 1, 20}, {1, 1, 20}}, 10);  // twice what it can do, for two seconds
  EXPECT_NEAR(backlog.finish, 4, 1e-9);
  EXPECT_NEAR(backlog.longest, 20, 1e-9);
  EXPECT_NEAR(backlog.mean_wait, 1, 1e-9);
}

TEST(Queueing, APauseBetweenBurstsDrainsTheQueue) {
  const Backlog backlog = backlog_of({{0, 1, 20}, {5, 1, 20}}, 10);
  EXPECT_NEAR(backlog.longest, 10, 1e-9);
  EXPECT_NEAR(backlog.finish, 7, 1e-9);
  EXPECT_NEAR(backlog.mean_wait, 0.5, 1e-9);  // ten piled up over a second and drained in another, twice, over forty tasks
}

TEST(Queueing, APoolThatKeepsUpHasNoQueue) {
  const Backlog backlog = backlog_of({{0, 1, 5}, {1, 1, 8}}, 10);
  EXPECT_EQ(backlog.longest, 0);
  EXPECT_EQ(backlog.mean_wait, 0);
  EXPECT_NEAR(backlog.finish, 2, 1e-9);
}

TEST(Queueing, NothingComesOfNothing) {
  EXPECT_EQ(backlog_of({}, 10).finish, 0);
  EXPECT_EQ(backlog_of({{0, 1, 5}}, 0).mean_wait, 0);
}

}  // namespace
}  // namespace tailback::analyzers
