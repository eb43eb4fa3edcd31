// SPDX-License-Identifier: Apache-2.0
// The range of the unwind entry (FDE) around an address, read from a file's .eh_frame_hdr. Serves functions without a
// symbol: their start is a name that stays the same from run to run. Formats: LSB Core, "Exception Frames".
#pragma once
#include <cstdint>
#include <optional>

#include "analyzers/model/symbols/elf_file.h"

namespace tailback::analyzers {

struct AddressRange {
  std::uint64_t start = 0, end = 0;
};

// Addresses are virtual addresses of the file. Nothing when no entry covers the address or the table is not understood.
std::optional<AddressRange> unwind_range(const ElfFile& file, std::uint64_t address);

}  // namespace tailback::analyzers
