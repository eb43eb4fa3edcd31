// SPDX-License-Identifier: Apache-2.0
// Asks the debuginfod servers of DEBUGINFOD_URLS for a module's debug file. The client library is loaded when first needed;
// without it, or without the variable, nothing is asked. Called only when the user switched it on.
#pragma once
#include <memory>
#include <string>

#include "analyzers/model/symbols/elf_file.h"

namespace tailback::analyzers {

// Waits as long as the client library does (DEBUGINFOD_TIMEOUT). Null when there is no such file.
std::unique_ptr<ElfFile> fetch_debug_file(const std::string& build_id);

}  // namespace tailback::analyzers
