// SPDX-License-Identifier: Apache-2.0
// Which allocator defines malloc, and its functions for statistics: those of the same object only.
#pragma once
#include "agent/engine/allocator_calls.h"

namespace tailback::real {

// Once, in the constructor.
engine::AllocatorCalls allocator_calls();

}  // namespace tailback::real
