// SPDX-License-Identifier: Apache-2.0
// Facts of an executable file that decide whether and how it can be recorded. Reads only; any bytes are accepted.
#pragma once
#include <string>
#include <vector>

namespace tailback::tools {

struct ElfFacts {
  bool is_elf = false;
  bool is_64_bit = false;
  bool is_this_machine = false;  // the instruction set of this tailback
  std::string machine;           // "x86-64", "aarch64", ... or the number
  std::string interpreter;       // PT_INTERP; empty: statically linked
  std::vector<std::string> needed;
  std::string build_id;  // hex
  bool is_go = false;
  bool has_symtab = false, has_debug_info = false, has_debuglink = false;
  bool has_unwind_table = false;  // .eh_frame_hdr
  bool needs_libasan = false;     // AddressSanitizer's shared runtime, which wants to be loaded first
  std::string sanitizer;          // "AddressSanitizer", ... empty: none
  std::string allocator;          // an allocator linked into the executable itself: "jemalloc", ... empty: none
};

ElfFacts read_elf(const std::string& path);

}  // namespace tailback::tools
