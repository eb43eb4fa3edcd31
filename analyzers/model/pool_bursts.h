// SPDX-License-Identifier: Apache-2.0
// Tasks that were brought all at once: one thread's wakes of a queue, of which each but the first follows the one before within 64 us.
#pragma once
#include <cstdint>
#include <set>
#include <vector>

#include "analyzers/model/recording.h"

namespace tailback::analyzers {

struct PoolBurst {
  double at = 0;     // seconds; where in an interval of half a second it came is not known, so they lie evenly in it
  double tasks = 0;
};

// In order of time. Only where an interval holds few large ones: many small ones are a stream.
std::vector<PoolBurst> bursts_of(const Recording& recording, const std::set<std::uint64_t>& queues);

}  // namespace tailback::analyzers
