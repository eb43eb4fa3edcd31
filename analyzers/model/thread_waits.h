// SPDX-License-Identifier: Apache-2.0
// Splits each thread's wall time into running, runnable and blocked by cause, and tells what sort of waiter it is. A step of
// Waits::build. Formulas: docs/rules.md.
#pragma once
#include <span>
#include <vector>

#include "analyzers/model/waits.h"

namespace tailback::analyzers {

// One row for each of recording.threads.rows, in their order.
std::vector<ThreadWaits> split_threads(const Recording& recording, const Timeline& timeline, std::span<const CallSite> sites);

}  // namespace tailback::analyzers
