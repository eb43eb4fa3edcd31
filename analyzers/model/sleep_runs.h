// SPDX-License-Identifier: Apache-2.0
// How often a thread sleeps again as soon as it has slept: it looked, and what it waits for had not happened.
#pragma once
#include <map>

#include "analyzers/model/recording.h"

namespace tailback::analyzers {

struct SleepRuns {
  double sleeps = 0;  // inside of detail windows
  double again = 0;   // of these, right after another one
};

std::map<ThreadId, SleepRuns> sleep_runs(const Recording& recording);

}  // namespace tailback::analyzers
