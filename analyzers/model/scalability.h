// SPDX-License-Identifier: Apache-2.0
// The universal scalability law (N. J. Gunther, "Guerrilla Capacity Planning", 2007): with n at work at a time the throughput is
//   X(n) = λ n / (1 + α (n - 1) + β n (n - 1)),   α: share that is done one at a time, β: cost of each pair that must agree.
// Fitted by least squares of relative errors with α, β >= 0: n/X is linear in 1, n - 1 and n (n - 1).
#pragma once
#include <string>
#include <vector>

namespace tailback::analyzers {

struct ScalabilityPoint {
  double concurrency = 0;  // at work at a time, mean over the interval
  double throughput = 0;   // done in a second of it
};

struct Scalability {
  std::string missing;           // not empty: why nothing is said
  double single = 0;             // λ: throughput of one alone
  double contention = 0;         // α
  double coherency = 0;          // β
  double error = 0;              // mean relative error of the fit
  double lowest = 0, highest = 0;  // concurrency seen: beyond, the law is no more than a guess

  double throughput(double concurrency) const;
  // From where on throughput falls; 0: it never does.
  double best() const;
  // Where twice as many bring less than `gain` more; 0: nowhere up to `most`.
  double saturates_at(double gain = 0.1, double most = 1e6) const;
};

// Points vary enough when three or more lie below half of the highest concurrency, and three above. With fewer than five levels β is taken
// for 0: two levels say whether more at work bring more, not where it ends.
Scalability fit_scalability(const std::vector<ScalabilityPoint>& points);

}  // namespace tailback::analyzers
