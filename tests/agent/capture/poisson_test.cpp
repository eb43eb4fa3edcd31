// SPDX-License-Identifier: Apache-2.0
// Sampling by bytes: intervals are exponential, weights undo the choice without bias.
#include "agent/capture/poisson.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace tailback::capture {
namespace {

constexpr std::uint64_t kMean = 512 * 1024;

TEST(Poisson, IntervalsAreExponential) {
  Random random{12345};
  constexpr int kDraws = 200'000;
  std::vector<double> draws(kDraws);
  for (double& draw : draws) draw = static_cast<double>(draw_interval(random, kMean)) / kMean;
  std::sort(draws.begin(), draws.end());
  double worst = 0;  // Kolmogorov and Smirnov's distance
  for (int i = 0; i < kDraws; ++i) worst = std::max(worst, std::abs((i + 0.5) / kDraws - (1 - std::exp(-draws[i]))));
  EXPECT_LT(worst, 1.95 / std::sqrt(kDraws));  // one run in a thousand would be above; the seed is fixed
}

TEST(Poisson, WeightIsOneOverTheProbability) {
  for (double x = 1e-6; x < 60; x *= 1.3) {
    const auto bytes = static_cast<std::uint64_t>(x * kMean);
    const double exact = 1 / -std::expm1(-(static_cast<double>(bytes) + 1) / kMean);
    const SampleWeight weight = weight_of(bytes, kMean);
    EXPECT_NEAR(weight.blocks / exact, 1, 1e-6) << bytes;
    EXPECT_NEAR(weight.variance, exact * (exact - 1), 1e-5 * exact * exact) << bytes;
  }
}

TEST(Poisson, BlocksFarAboveTheMeanAreCertain) {
  EXPECT_EQ(weight_of(kMean * 100, kMean).blocks, 1);
  EXPECT_EQ(weight_of(kMean * 100, kMean).variance, 0);
  EXPECT_EQ(weight_of(~std::uint64_t{0}, kMean).blocks, 1);
}

// The whole method, as hooks use it: the estimate is right on average, and its stated deviation is the one seen.
TEST(Poisson, EstimatesAreUnbiasedAndTheirDeviationIsTrue) {
  constexpr int kRuns = 400;
  constexpr std::uint64_t kInterval = 10'000, kSize = 700, kBlocks = 3'000;
  double sum = 0, squares = 0, stated = 0;
  for (int run = 0; run < kRuns; ++run) {
    Random random{static_cast<std::uint64_t>(run) * 7919 + 1};
    std::uint64_t budget = draw_interval(random, kInterval);
    double blocks = 0;
    for (std::uint64_t i = 0; i < kBlocks; ++i) {
      if (budget > kSize) {
        budget -= kSize + 1;
        continue;
      }
      const SampleWeight weight = weight_of(kSize, kInterval);
      blocks += weight.blocks;
      stated += weight.variance / kRuns;
      budget = draw_interval(random, kInterval);
    }
    sum += blocks;
    squares += (blocks - kBlocks) * (blocks - kBlocks);
  }
  const double deviation = std::sqrt(stated);
  EXPECT_NEAR(sum / kRuns, kBlocks, 4 * deviation / std::sqrt(kRuns));
  EXPECT_NEAR(std::sqrt(squares / kRuns) / deviation, 1, 0.15);
}

}  // namespace
}  // namespace tailback::capture
