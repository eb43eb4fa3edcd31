// SPDX-License-Identifier: Apache-2.0
// Where the unwind entries (FDEs) of a module are, sorted by address: the table that linkers put into .eh_frame_hdr, or, where
// there is none (statically linked programs), one made from .eh_frame of the file. Formats: LSB Core, "Exception Frames".
#pragma once
#include <cstdint>
#include <string>

#include "tools/live/target_memory.h"

namespace tailback::tools {

struct UnwindTable {
  std::uint64_t base = 0;     // what the entries count from
  std::uint64_t entries = 0;  // address of pairs of i32: start of the code, entry
  std::uint64_t count = 0;    // 0: there is no table
};

UnwindTable mapped_table(std::uint64_t eh_frame_hdr, TargetMemory& memory);

// Made from the file at `path`, when that has the build id, and put into `memory` where no process has any, by `number`.
UnwindTable table_from_file(const std::string& path, const std::string& build_id, std::uint64_t bias, std::uint64_t number,
                            TargetMemory& memory);

}  // namespace tailback::tools
