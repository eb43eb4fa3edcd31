// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/thresholds.h"

#include <algorithm>

namespace tailback::analyzers {

namespace {

std::string with_dashes(std::string_view name) {
  std::string text(name);
  std::replace(text.begin(), text.end(), '_', '-');
  return text;
}

}  // namespace

bool Thresholds::set(std::string_view name, double value) {
  const std::string wanted = with_dashes(name);
#define THRESHOLD(field, standard, meaning) \
  if (wanted == with_dashes(#field)) return field = value, true;
#include "analyzers/model/thresholds.def"
#undef THRESHOLD
  return false;
}

const std::vector<ThresholdInfo>& all_thresholds() {
  static const std::vector<ThresholdInfo> all = {
#define THRESHOLD(name, standard, meaning) {with_dashes(#name), meaning, standard},
#include "analyzers/model/thresholds.def"
#undef THRESHOLD
  };
  return all;
}

}  // namespace tailback::analyzers
