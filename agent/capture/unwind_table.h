// SPDX-License-Identifier: Apache-2.0
// Where a mapped module keeps its unwind information, and which addresses around it may be read. Plain data, no reads here.
#pragma once
#include <cstdint>

namespace tailback::capture {

struct UnwindTable {
  std::uint64_t header = 0;      // .eh_frame_hdr, 0: the module has none
  std::uint64_t header_end = 0;  // end of the mapped segment around it
  std::uint64_t frames_low = 0;  // mapped segment around .eh_frame
  std::uint64_t frames_high = 0;
};

}  // namespace tailback::capture
