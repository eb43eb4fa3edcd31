// SPDX-License-Identifier: Apache-2.0
// What a saving of time inside calls is worth to the whole program: all of it where one thread sets the pace, with wide bounds
// where several do, nothing expected where others need not wait for it. Formulas: docs/rules.md.
#pragma once
#include <map>
#include <string>

#include "analyzers/finding.h"
#include "analyzers/model/model.h"

namespace tailback::analyzers {

struct WaitSaving {
  std::map<ThreadId, double> seconds;  // of each thread's wall time that a repair removes; 0: threads of thread groups
  double low = 1, high = 1;            // bounds, as multiples of the seconds
  std::string why;                     // what is removed and how that is known

  double total() const;
};

Gain gain_of_waiting(const Model& model, const WaitSaving& saving);

}  // namespace tailback::analyzers
