// SPDX-License-Identifier: Apache-2.0
// Limits of rules that depend on what a user calls too much (thresholds.def). All others are reasons, and stand with their rules.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace tailback::analyzers {

struct Thresholds {
#define THRESHOLD(name, standard, meaning) double name = standard;
#include "analyzers/model/thresholds.def"
#undef THRESHOLD

  // False: there is none of that name (dashes and underscores are the same).
  bool set(std::string_view name, double value);
};

struct ThresholdInfo { std::string name, meaning; double standard = 0; };
const std::vector<ThresholdInfo>& all_thresholds();

}  // namespace tailback::analyzers
