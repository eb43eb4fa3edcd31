// SPDX-License-Identifier: Apache-2.0
// Which functions made the long turns of an event loop long. A step of EventLoops::build.
#pragma once
#include <vector>

#include "analyzers/model/event_loops.h"

namespace tailback::analyzers {

// Those that take a tenth of the long turns' time or more, most first. `samples`: of the loop's thread, ascending in t.
std::vector<LoopHandler> handlers_of(const Recording& recording, const Symbols& symbols, const Waits& waits, const EventLoop& loop,
                                     const std::vector<const SampleRow*>& samples);

}  // namespace tailback::analyzers
