// SPDX-License-Identifier: Apache-2.0
// Writes what the frames seen are called into a dump, so that it can be read on a machine without the files.
#pragma once
#include "analyzers/model/recording.h"
#include "analyzers/model/symbols.h"
#include "tools/launcher/dump_append.h"

namespace tailback::tools {

// Functions, files and lines, inline frames included. Heaviest frames first, at most `most_bytes` of records; what does not fit
// is said in a note of the dump.
void append_frames(DumpAppender& dump, const analyzers::Recording& recording, const analyzers::Symbols& symbols,
                   std::uint64_t most_bytes);

// Names of functions alone, from the symbol tables of the modules themselves: milliseconds where debug data takes a tenth of a
// second. A reader asks them only where the module's file is missing.
void append_names(DumpAppender& dump, const analyzers::Recording& recording, std::uint64_t most_bytes);

}  // namespace tailback::tools
