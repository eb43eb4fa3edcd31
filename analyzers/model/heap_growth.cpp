// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/heap_growth.h"

#include <algorithm>
#include <cmath>

namespace tailback::analyzers {

namespace {

constexpr std::size_t kParts = 4;
constexpr double kEven = 0.3;  // of an even share of the growth, that each part must have
constexpr double kGoodFit = 0.8;
constexpr double kMostCorrelation = 0.9;

struct Line {
  double slope = 0, error = 0, fit = 0, freedom = 1;  // error: standard error of the slope; fit: r squared
};

Line line_through(std::span<const double> x, std::span<const double> y) {
  const double n = static_cast<double>(x.size());
  double mean_x = 0, mean_y = 0, sxx = 0, sxy = 0, syy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) mean_x += x[i] / n, mean_y += y[i] / n;
  for (std::size_t i = 0; i < x.size(); ++i) {
    sxx += (x[i] - mean_x) * (x[i] - mean_x), sxy += (x[i] - mean_x) * (y[i] - mean_y), syy += (y[i] - mean_y) * (y[i] - mean_y);
  }
  Line line;
  if (sxx <= 0 || syy <= 0) return line;
  line.slope = sxy / sxx;
  line.fit = sxy * sxy / (sxx * syy);
  double left = 0, with_next = 0, last = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double residual = y[i] - mean_y - line.slope * (x[i] - mean_x);
    left += residual * residual;
    if (i) with_next += residual * last;
    last = residual;
  }
  const double correlation = left > 0 ? std::clamp(with_next / left, 0.0, kMostCorrelation) : 0;
  const double effective = n * (1 - correlation) / (1 + correlation);
  line.freedom = std::max(1.0, effective - 2);
  line.error = std::sqrt(left / (n - 2) * (n / std::max(effective, 1.0)) / sxx);
  return line;
}

// Student's t, 97.5 %: a series in 1/freedom fitted to the table, within 3 %.
double t_quantile(double freedom) {
  const double u = 1 / freedom;
  return 1.96 + u * (2.37 + u * (2.8 + u * 5.6));
}

// Standard error of a growth per second when the noise walks at random, as that of sampled live bytes does: by the steps.
double error_by_steps(std::span<const double> x, std::span<const double> y) {
  const double span = x.back() - x.front(), slope = (y.back() - y.front()) / span, steps = static_cast<double>(x.size() - 1);
  double squares = 0;
  for (std::size_t i = 1; i < x.size(); ++i) {
    const double beyond = y[i] - y[i - 1] - slope * (x[i] - x[i - 1]);
    squares += beyond * beyond;
  }
  return std::sqrt(squares * steps / (steps - 1)) / span;
}

double value_at(std::span<const double> times, std::span<const double> values, double t) {
  const auto after = std::upper_bound(times.begin(), times.end(), t);
  return after == times.begin() ? values.front() : values[static_cast<std::size_t>(after - times.begin()) - 1];
}

bool grows_everywhere(std::span<const double> times, std::span<const double> values) {
  const double from = times.front(), span = times.back() - from, all = values.back() - values.front();
  double before = values.front();
  for (std::size_t part = 1; part <= kParts; ++part) {
    const double after = value_at(times, values, from + span * static_cast<double>(part) / kParts + 1e-9);
    if (after - before < kEven * all / kParts) return false;
    before = after;
  }
  return all > 0;
}

}  // namespace

Growth growth_of(std::span<const double> times, std::span<const double> live, double deviation) {
  Growth growth;
  if (times.empty() || times.size() != live.size()) return growth;
  const auto first = static_cast<std::size_t>(std::lower_bound(times.begin(), times.end(), kWarmUp * times.back()) - times.begin());
  const auto x = times.subspan(first), y = live.subspan(first);
  growth.from = x.front(), growth.to = x.back();
  growth.before = y.front(), growth.after = y.back();
  growth.known = x.size() >= kFewestPoints && growth.to > growth.from;
  if (!growth.known) return growth;
  const Line line = line_through(x, y);
  growth.per_second = line.slope;
  const double sampling = 1.96 * deviation / (growth.to - growth.from);
  const double by_steps = t_quantile(static_cast<double>(x.size()) - 2) * error_by_steps(x, y);
  const double around = std::hypot(std::min(t_quantile(line.freedom) * line.error, by_steps), sampling);
  growth.low = line.slope - around, growth.high = line.slope + around;
  growth.steady = growth.low > 0 && line.fit >= kGoodFit && grows_everywhere(x, y);
  return growth;
}

std::vector<double> live_at(const std::vector<LivePoint>& points, std::span<const double> times) {
  constexpr double kNanosecond = 1e-9, kSameMoment = 1e-6;
  std::vector<double> live;
  live.reserve(times.size());
  std::size_t next = 0;
  double now = 0;
  for (const double t : times) {
    while (next < points.size() && static_cast<double>(points[next].t) * kNanosecond <= t + kSameMoment) now = static_cast<double>(points[next++].bytes);
    live.push_back(now);
  }
  return live;
}

}  // namespace tailback::analyzers
