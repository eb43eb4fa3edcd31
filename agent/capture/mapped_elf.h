// SPDX-License-Identifier: Apache-2.0
// Reads the ELF header, program headers and notes of a module from its own mapping. Signal-safe; reads only inside the
// range that the loader reports for the module and inside segments that are mapped readable.
#pragma once
#include <cstdint>

#include "agent/capture/unwind_table.h"

namespace tailback::capture {

struct BuildId {
  std::uint8_t bytes[32];
  std::uint32_t size;  // 0: none; longer ones are cut to 32
};

// `start`, `end`, `bias`: as the loader says; `eh_frame_hdr`: absolute address or 0. False: the header is not mapped or is not
// one of this machine's.
bool read_unwind_table(std::uint64_t start, std::uint64_t end, std::uint64_t bias, std::uint64_t eh_frame_hdr, UnwindTable& table);
bool read_build_id(std::uint64_t start, std::uint64_t end, std::uint64_t bias, BuildId& id);

}  // namespace tailback::capture
