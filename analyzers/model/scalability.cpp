// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/scalability.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include <fmt/format.h>

namespace tailback::analyzers {
namespace {

constexpr std::size_t kFewestPoints = 10, kFewestOfEither = 3, kLevelsForBoth = 5, kTerms = 3;
constexpr double kSpread = 2;        // highest concurrency over lowest
constexpr double kWorstFit = 0.25;   // mean relative error

using Terms = std::array<double, kTerms>;

Terms terms_at(double n) { return {1, n - 1, n * (n - 1)}; }

struct Sums {  // of the normal equations
  std::array<Terms, kTerms> matrix{};
  Terms right{};
};

// Each point's n/X over itself, so that all count by their relative errors.
Sums sums_of(const std::vector<ScalabilityPoint>& points) {
  Sums sums;
  for (const ScalabilityPoint& point : points) {
    Terms terms = terms_at(point.concurrency);
    for (double& term : terms) term *= point.throughput / point.concurrency;
    for (std::size_t i = 0; i < kTerms; ++i) {
      sums.right[i] += terms[i];
      for (std::size_t k = 0; k < kTerms; ++k) sums.matrix[i][k] += terms[i] * terms[k];
    }
  }
  return sums;
}

// Gauss with pivots, of the terms that are used; all 0 where there is no one solution.
Terms solve(const Sums& sums, const std::array<bool, kTerms>& used) {
  Sums left = sums;
  for (std::size_t i = 0; i < kTerms; ++i)
    if (!used[i]) {
      left.right[i] = 0;
      for (std::size_t k = 0; k < kTerms; ++k) left.matrix[i][k] = left.matrix[k][i] = 0;
      left.matrix[i][i] = 1;
    }
  for (std::size_t i = 0; i < kTerms; ++i) {
    std::size_t pivot = i;
    for (std::size_t k = i + 1; k < kTerms; ++k)
      if (std::abs(left.matrix[k][i]) > std::abs(left.matrix[pivot][i])) pivot = k;
    std::swap(left.matrix[i], left.matrix[pivot]), std::swap(left.right[i], left.right[pivot]);
    if (std::abs(left.matrix[i][i]) < 1e-12 * std::abs(sums.matrix[i][i]) || left.matrix[i][i] == 0) return {};
    for (std::size_t k = 0; k < kTerms; ++k) {
      if (k == i) continue;
      const double factor = left.matrix[k][i] / left.matrix[i][i];
      for (std::size_t m = i; m < kTerms; ++m) left.matrix[k][m] -= factor * left.matrix[i][m];
      left.right[k] -= factor * left.right[i];
    }
  }
  Terms solution{};
  for (std::size_t i = 0; i < kTerms; ++i) solution[i] = left.right[i] / left.matrix[i][i];
  return solution;
}

// What is left of the squares: less is better.
double squares_of(const Sums& sums, const Terms& x) {
  double squares = 0;
  for (std::size_t i = 0; i < kTerms; ++i) {
    squares -= 2 * x[i] * sums.right[i];
    for (std::size_t k = 0; k < kTerms; ++k) squares += x[i] * sums.matrix[i][k] * x[k];
  }
  return squares;
}

// Of the choices of terms that may be 0 the best one without a negative factor.
Terms best_fit(const Sums& sums, bool with_coherency) {
  Terms best{};
  double least = 0;
  for (const bool contention : {false, true})
    for (const bool coherency : {false, true}) {
      if (coherency && !with_coherency) continue;
      const Terms x = solve(sums, {true, contention, coherency});
      const double squares = squares_of(sums, x);
      if (x[0] > 0 && x[1] >= 0 && x[2] >= 0 && squares < least) least = squares, best = x;
    }
  return best;
}

std::string lacking(const std::vector<ScalabilityPoint>& points) {
  if (points.size() < kFewestPoints) return fmt::format("fewer than {} intervals had any work done", kFewestPoints);
  double highest = 0;
  for (const ScalabilityPoint& point : points) highest = std::max(highest, point.concurrency);
  const auto few = static_cast<std::size_t>(std::count_if(points.begin(), points.end(), [&](const ScalabilityPoint& point) { return point.concurrency * kSpread <= highest; }));
  if (few < kFewestOfEither || points.size() - few < kFewestOfEither) return "about as much was at work at a time all along";
  return {};
}

// Levels of concurrency, apart by a tenth.
std::size_t levels_of(const std::vector<ScalabilityPoint>& points) {
  std::set<long> levels;
  for (const ScalabilityPoint& point : points) levels.insert(std::lround(std::log(point.concurrency) / std::log(1.1)));
  return levels.size();
}

}  // namespace

double Scalability::throughput(double n) const { return single * n / std::max(1e-12, 1 + contention * (n - 1) + coherency * n * (n - 1)); }

double Scalability::best() const { return coherency > 0 ? std::sqrt(std::max(0.0, 1 - contention) / coherency) : 0; }

double Scalability::saturates_at(double gain, double most) const {
  for (double n = 1; n <= most; n *= 1.1)
    if (throughput(2 * n) < (1 + gain) * throughput(n)) return n;
  return 0;
}

Scalability fit_scalability(const std::vector<ScalabilityPoint>& given) {
  Scalability result;
  std::vector<ScalabilityPoint> points;
  for (const ScalabilityPoint& point : given)
    if (point.concurrency > 0 && point.throughput > 0) points.push_back(point);
  result.missing = lacking(points);
  if (!result.missing.empty()) return result;
  const Terms x = best_fit(sums_of(points), levels_of(points) >= kLevelsForBoth);
  if (!(x[0] > 0)) return result.missing = "throughput does not follow the number at work", result;
  result.single = 1 / x[0], result.contention = x[1] / x[0], result.coherency = x[2] / x[0];
  result.lowest = result.highest = points.front().concurrency;
  for (const ScalabilityPoint& point : points) {
    result.error += std::abs(result.throughput(point.concurrency) / point.throughput - 1) / static_cast<double>(points.size());
    result.lowest = std::min(result.lowest, point.concurrency), result.highest = std::max(result.highest, point.concurrency);
  }
  if (result.error > kWorstFit) result.missing = fmt::format("throughput depends on more than the number at work (mean error {:.0f} %)", 100 * result.error);
  return result;
}

}  // namespace tailback::analyzers
