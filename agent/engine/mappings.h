// SPDX-License-Identifier: Apache-2.0
// Lists executable memory that belongs to no file (JIT code) in the dump. Reads /proc/self/maps in pieces. Under the drain
// lock; signal-safe.
#pragma once
#include "agent/engine/dump_file.h"

namespace tailback::engine {

void write_executable_mappings(DumpFile& dump);

}  // namespace tailback::engine
