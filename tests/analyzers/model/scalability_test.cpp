// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/scalability.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace tailback::analyzers {
namespace {

std::vector<ScalabilityPoint> points_of(const Scalability& law, double most, double noise, std::size_t count = 60) {
  std::mt19937_64 random(5);
  std::normal_distribution<> scatter(1, noise);
  std::vector<ScalabilityPoint> points;
  for (std::size_t i = 0; i < count; ++i) {
    const double n = 1 + (most - 1) * static_cast<double>(i) / static_cast<double>(count - 1);
    points.push_back({n, law.throughput(n) * (noise > 0 ? scatter(random) : 1)});
  }
  return points;
}

Scalability law(double single, double contention, double coherency) {
  Scalability law;
  law.single = single, law.contention = contention, law.coherency = coherency;
  return law;
}

TEST(Scalability, ExactPointsGiveTheLawBack) {
  const Scalability fit = fit_scalability(points_of(law(1000, 0.05, 0.002), 32, 0));
  EXPECT_EQ(fit.missing, "");
  EXPECT_NEAR(fit.single, 1000, 1);
  EXPECT_NEAR(fit.contention, 0.05, 1e-4);
  EXPECT_NEAR(fit.coherency, 0.002, 1e-5);
  EXPECT_NEAR(fit.best(), std::sqrt(0.95 / 0.002), 0.1);
  EXPECT_NEAR(fit.error, 0, 1e-6);
  EXPECT_EQ(fit.lowest, 1);
  EXPECT_EQ(fit.highest, 32);
}

TEST(Scalability, NoiseMovesThePeakLittle) {
  const Scalability truth = law(1000, 0.03, 0.004), fit = fit_scalability(points_of(truth, 40, 0.05, 200));
  EXPECT_EQ(fit.missing, "");
  EXPECT_NEAR(fit.best(), truth.best(), 0.15 * truth.best());
  EXPECT_NEAR(fit.throughput(16), truth.throughput(16), 0.05 * truth.throughput(16));
}

TEST(Scalability, WhatScalesHasNoPeak) {
  const Scalability fit = fit_scalability(points_of(law(10, 0, 0), 16, 0));
  EXPECT_EQ(fit.missing, "");
  EXPECT_EQ(fit.best(), 0);
  EXPECT_EQ(fit.saturates_at(), 0);
  EXPECT_NEAR(fit.throughput(8), 80, 1e-6);
}

TEST(Scalability, AShareDoneOneAtATimeSaturates) {  // Amdahl
  const Scalability fit = fit_scalability(points_of(law(10, 0.25, 0), 16, 0));
  EXPECT_EQ(fit.best(), 0) << "it never falls";
  // 2n against n: (1 + α(n - 1)) 2 / (1 + α(2n - 1)) = 1.1
  EXPECT_NEAR(fit.saturates_at(), 13.5, 1.4);
}

TEST(Scalability, NothingIsSaidOfPointsThatDoNotVary) {
  EXPECT_NE(fit_scalability({}).missing, "");
  EXPECT_NE(fit_scalability(std::vector<ScalabilityPoint>(50, {8, 100})).missing, "");
  std::vector<ScalabilityPoint> near;
  for (int i = 0; i < 50; ++i) near.push_back({8 + 0.1 * i, 100});
  EXPECT_NE(fit_scalability(near).missing, "");
}

TEST(Scalability, TwoLevelsTellWhetherMoreBringMore) {
  std::vector<ScalabilityPoint> points;
  for (int i = 0; i < 12; ++i) points.push_back(i % 2 ? ScalabilityPoint{4, 100} : ScalabilityPoint{1, 100});
  const Scalability fit = fit_scalability(points);
  EXPECT_EQ(fit.missing, "");
  EXPECT_NEAR(fit.contention, 1, 1e-6);
  EXPECT_EQ(fit.coherency, 0);
}

TEST(Scalability, OneLightIntervalIsNotEnough) {
  std::vector<ScalabilityPoint> points(12, {4, 100});
  points.push_back({1, 100});
  EXPECT_NE(fit_scalability(points).missing, "");
}

TEST(Scalability, NothingIsSaidWhereThroughputIsSomethingElses) {
  std::mt19937_64 random(5);
  std::uniform_real_distribution<> any(1, 1000);
  std::vector<ScalabilityPoint> points;
  for (int i = 0; i < 100; ++i) points.push_back({1 + i % 20 * 1.0, any(random)});
  EXPECT_NE(fit_scalability(points).missing, "");
}

}  // namespace
}  // namespace tailback::analyzers
