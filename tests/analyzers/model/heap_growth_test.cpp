// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/heap_growth.h"

#include <cmath>
#include <random>

#include <gtest/gtest.h>

namespace tailback::analyzers {
namespace {

std::vector<double> times_until(double end, double step = 0.25) {
  std::vector<double> times;
  for (double t = step; t <= end + 1e-9; t += step) times.push_back(t);
  return times;
}

template <class F>
Growth growth_of_curve(F&& f, double end = 10) {
  const std::vector<double> times = times_until(end);
  std::vector<double> live;
  for (const double t : times) live.push_back(f(t));
  return growth_of(times, live);
}

TEST(HeapGrowth, ALineIsSteady) {
  const Growth growth = growth_of_curve([](double t) { return 5e6 + 1e6 * t; });
  EXPECT_TRUE(growth.steady);
  EXPECT_NEAR(growth.per_second, 1e6, 1);
  EXPECT_NEAR(growth.grown(), 8e6, 1);
}

TEST(HeapGrowth, TheWarmUpDoesNotCount) {
  const Growth growth = growth_of_curve([](double t) { return std::min(t, 1.0) * 50e6 + 1e6 * t; });
  EXPECT_TRUE(growth.steady);
  EXPECT_NEAR(growth.per_second, 1e6, 1);
}

TEST(HeapGrowth, LevelsStepsAndFillingUpAreNotSteady) {
  EXPECT_FALSE(growth_of_curve([](double) { return 5e6; }).steady);
  EXPECT_FALSE(growth_of_curve([](double t) { return t > 5 ? 20e6 : 5e6; }).steady) << "one step";
  EXPECT_FALSE(growth_of_curve([](double t) { return 5e6 * (1 - std::exp(-t / 2)); }).steady) << "fills up";
  EXPECT_FALSE(growth_of_curve([](double t) { return 1e6 * std::min(t, 6.0); }).steady) << "filled";
  EXPECT_FALSE(growth_of_curve([](double t) { return 5e6 + 4e6 * std::sin(t); }).steady) << "breathes";
  EXPECT_FALSE(growth_of_curve([](double t) { return -1e6 * t; }).steady) << "shrinks";
}

TEST(HeapGrowth, TooFewPointsAreNotKnown) {
  EXPECT_FALSE(growth_of_curve([](double t) { return t; }, 1).known);
  EXPECT_FALSE(growth_of({}, {}).known);
}

TEST(HeapGrowth, TheIntervalHoldsTheTruthInNoise) {
  std::mt19937 random(7);
  std::normal_distribution<double> noise(0, 1e6);
  int inside = 0;
  constexpr int kRuns = 200;
  for (int run = 0; run < kRuns; ++run) {
    double carried = 0;
    const Growth growth = growth_of_curve([&](double t) { return 1e6 * t + (carried = 0.5 * carried + noise(random)); });
    inside += growth.low <= 1e6 && 1e6 <= growth.high;
  }
  EXPECT_GE(inside, 0.9 * kRuns) << "with noise that carries over from point to point";
}

TEST(HeapGrowth, SamplingWidensTheInterval) {
  const std::vector<double> times = times_until(10);
  std::vector<double> live;
  for (const double t : times) live.push_back(1e5 * t);
  EXPECT_TRUE(growth_of(times, live, 1e5).steady);
  EXPECT_FALSE(growth_of(times, live, 1e6).steady);
}

TEST(HeapGrowth, LiveAtTakesTheLastPointBefore) {
  const std::vector<LivePoint> points = {{1'000'000'000, 10, 1}, {3'000'000'000, 30, 3}};
  const std::vector<double> times = {0.5, 1, 2, 3, 4};
  EXPECT_EQ(live_at(points, times), (std::vector<double>{0, 10, 10, 30, 30}));
}

}  // namespace
}  // namespace tailback::analyzers
