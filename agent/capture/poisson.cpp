// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/poisson.h"

#include <bit>

namespace tailback::capture {

namespace {

// ln of x in [1, 2): 2 artanh((x - 1) / (x + 1)), whose series to the 13th power is exact to 1e-8 there.
double log_of_mantissa(double x) {
  const double r = (x - 1) / (x + 1), r2 = r * r;
  return 2 * r * (1 + r2 * (1. / 3 + r2 * (1. / 5 + r2 * (1. / 7 + r2 * (1. / 9 + r2 * (1. / 11 + r2 / 13))))));
}

// exp(-x) of x in [0, 64]: the series at x / 64, squared six times.
double exp_of_minus(double x) {
  const double y = x / 64;
  double result = 1 - y * (1 - y / 2 * (1 - y / 3 * (1 - y / 4 * (1 - y / 5 * (1 - y / 6 * (1 - y / 7))))));
  for (int i = 0; i < 6; ++i) result *= result;
  return result;
}

}  // namespace

std::uint64_t draw_interval(Random& random, std::uint64_t mean) {
  constexpr double kLn2 = 0.693147180559945309;
  const std::uint64_t bits = random.next() >> 12 | 1;  // uniform in (0, 1): bits / 2^52
  const int width = std::bit_width(bits);
  const double mantissa = static_cast<double>(bits) / static_cast<double>(std::uint64_t{1} << (width - 1));
  const double minus_log = (53 - width) * kLn2 - log_of_mantissa(mantissa);
  return static_cast<std::uint64_t>(minus_log * static_cast<double>(mean));
}

SampleWeight weight_of(std::uint64_t bytes, std::uint64_t mean) {
  const double x = (static_cast<double>(bytes) + 1) / static_cast<double>(mean);
  if (x > 64) return {1, 0};
  // Where p is small, 1 - exp(-x) would lose digits: 1 / p as a series (Bernoulli numbers).
  const double blocks = x < 0.5 ? 1 / x + 0.5 + x / 12 - x * x * x / 720 : 1 / (1 - exp_of_minus(x));
  return {blocks, blocks * (blocks - 1)};
}

}  // namespace tailback::capture
