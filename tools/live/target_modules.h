// SPDX-License-Identifier: Apache-2.0
// The ELF objects mapped in another process, as its memory shows them: files may be replaced, deleted or out of sight.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tools/live/proc_files.h"
#include "tools/live/target_memory.h"
#include "tools/live/unwind_tables.h"

namespace tailback::tools {

struct TargetModule {
  std::uint64_t start = 0, end = 0;
  std::uint64_t bias = 0;  // what to subtract from an address to get the ELF's virtual address
  UnwindTable unwind;
  std::string path, build_id;  // build_id: lower-case hex
};

// Ascending. `file_root`: what to put before the paths of its files.
std::vector<TargetModule> read_modules(const std::vector<MappedRegion>& regions, const std::string& file_root,
                                       TargetMemory& memory);
const TargetModule* module_at(const std::vector<TargetModule>& modules, std::uint64_t address);

}  // namespace tailback::tools
