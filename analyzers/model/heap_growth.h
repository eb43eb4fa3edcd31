// SPDX-License-Identifier: Apache-2.0
// How live bytes developed: steady growth told from filling up, from steps and from noise. No judgement of how much is too much.
//
// Growth per second is the slope of least squares after the warm-up; its 95 % interval takes the residuals' correlation from one
// point to the next into account (effective sample size, Bayley and Hammersley 1946, first order), or, where that is narrower, the spread of
// the steps from point to point (right for noise that walks at random); and, with sampled allocations, the deviation of the estimates.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "analyzers/model/allocation_tables.h"

namespace tailback::analyzers {

inline constexpr double kWarmUp = 0.2;           // of the recording: what a program allocates to begin with
inline constexpr std::size_t kFewestPoints = 6;  // after the warm-up

struct Growth {
  double from = 0, to = 0;                       // seconds: the stretch after the warm-up
  double before = 0, after = 0;                  // bytes at its ends
  double per_second = 0, low = 0, high = 0;      // slope, 95 % interval
  bool known = false;                            // enough points
  bool steady = false;                           // grows in each quarter of the stretch, beyond doubt, and does not level off

  double grown() const { return after - before; }
};

// `times` ascending, seconds since the start; `deviation`: standard deviation of what grew, bytes.
Growth growth_of(std::span<const double> times, std::span<const double> live, double deviation = 0);

// What was live at each of `times`: the last point at or before it, nothing before the first.
std::vector<double> live_at(const std::vector<LivePoint>& points, std::span<const double> times);

}  // namespace tailback::analyzers
