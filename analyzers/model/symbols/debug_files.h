// SPDX-License-Identifier: Apache-2.0
// Finds the files that describe a module: the module itself, its separate debug file, the file of shared debug data (dwz)
// that this one refers to. A file counts only when its build id is the wanted one; a file named by .gnu_debuglink without
// build ids only when its checksum is right. Nothing is executed, nothing but regular files is opened.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "analyzers/model/symbols/elf_file.h"

namespace tailback::analyzers {

struct DebugSearch {
  std::vector<std::string> directories;  // searched in order: the user's, then /usr/lib/debug
  bool use_debuginfod = false;
  bool debug_data = true;  // false: nothing but the module's own symbol table is asked
};

// The module's own file by its recorded path, else a whole copy in a user's directory. `refused` becomes true when a file is
// there but has another build id. `build_id` empty: the path decides.
std::unique_ptr<ElfFile> find_module_file(const std::string& path, const std::string& build_id, const DebugSearch& search,
                                          bool& refused);

// The separate debug file; null when there is none. `module` may be null (file gone): then only the build id can find it.
std::unique_ptr<ElfFile> find_debug_file(const ElfFile* module, const std::string& path, const std::string& build_id,
                                         const DebugSearch& search);

// The file named by .gnu_debugaltlink of `debug`.
std::unique_ptr<ElfFile> find_alternate_file(const ElfFile& debug, const DebugSearch& search);

// CRC-32 as used by .gnu_debuglink (reflected 0x04C11DB7).
std::uint32_t debuglink_crc(Bytes bytes);

}  // namespace tailback::analyzers
