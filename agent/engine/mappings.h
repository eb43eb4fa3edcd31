// SPDX-License-Identifier: Apache-2.0
// The process's mappings as /proc/self/maps lists them, read in pieces. Under the drain lock; signal-safe.
#pragma once
#include "agent/engine/dump_file.h"

namespace tailback::engine {

// Lists executable memory that belongs to no file (JIT code) in the dump.
void write_executable_mappings(DumpFile& dump);
// Whether other processes may see what is at an address (MAP_SHARED); also when it cannot be told.
bool is_shared_memory(std::uint64_t address);

}  // namespace tailback::engine
