// SPDX-License-Identifier: Apache-2.0
// Writes the functions and lines of all frames seen into a dump, so that it can be read on a machine without the files.
#pragma once
#include "analyzers/model/recording.h"
#include "analyzers/model/symbols.h"
#include "tools/launcher/dump_append.h"

namespace tailback::tools {

// Heaviest frames first, at most `most_bytes` of records; what does not fit is said in a note of the dump.
void append_frames(DumpAppender& dump, const analyzers::Recording& recording, const analyzers::Symbols& symbols,
                   std::uint64_t most_bytes);

}  // namespace tailback::tools
