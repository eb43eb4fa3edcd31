// SPDX-License-Identifier: Apache-2.0
// Debug data of one module: address -> chain of functions (inlined first) with file and line. Units are indexed when first
// touched; memory is bounded by dropping indexes and libdw's caches when they grow beyond a budget (they are rebuilt on
// demand). Split DWARF is not followed. Threading: one thread at a time.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "analyzers/model/symbols/elf_file.h"
#include "analyzers/model/symbols/name_table.h"

namespace tailback::analyzers {

struct DwarfFrames {
  std::vector<SymbolFrame> frames;  // innermost first; function 0 when only the line is known
  bool needs_symbol_name = false;   // the outermost function is C++ without a linkage name here; the symbol table has it
};

class DwarfIndex {
 public:
  // Null when the file has no usable debug data. `alternate` may be null. `module`: owner of the names.
  static std::unique_ptr<DwarfIndex> open(std::unique_ptr<ElfFile> debug, std::unique_ptr<ElfFile> alternate, ModuleId module,
                                          NameTable& names);
  ~DwarfIndex();

  // Empty when no unit covers the address.
  DwarfFrames resolve(std::uint64_t address);

 private:
  struct Impl;
  explicit DwarfIndex(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tailback::analyzers
