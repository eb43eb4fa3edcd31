// SPDX-License-Identifier: Apache-2.0
// Whether more threads would get more out of what a pool's tasks wait for: requests finished in a second against requests under way, both
// counted from the calls that stood still, fitted by the universal scalability law (scalability.h) where a recording has light and heavy
// stretches. A peer or a device that serves one request at a time gives as much to one thread as to many.
#pragma once
#include "analyzers/model/scalability.h"
#include "analyzers/model/waits.h"

namespace tailback::analyzers {

struct Pool;

struct PoolScaling {
  Scalability law;                       // of the call that tasks stand still in most; `missing`: nothing is said
  trace::Call call = trace::Call::none;  // that one
  double share = 0;                      // of the time in which members are busy
};

PoolScaling scaling_of(const Recording& recording, const Pool& pool);

// How much longer a task takes when `threads` work instead of the present number: 1 where nothing is known.
double stretched_by(const Pool& pool, double threads);

}  // namespace tailback::analyzers
