// SPDX-License-Identifier: Apache-2.0
// The symbol tables of a module as two interval indexes, functions and data. A symbol names only the addresses inside its
// size; the nearest symbol before an address is never taken for its name.
// Of several names at one address the chosen one is: a function before an untyped label, exported before local, without
// leading underscores before with, the shorter, the alphabetically first.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "analyzers/model/symbols/elf_file.h"
#include "analyzers/model/symbols/intervals.h"

namespace tailback::analyzers {

class SymbolTable {
 public:
  // Reads .symtab and .dynsym; may be called for the module and for its debug file. The file must outlive the table.
  void add(const ElfFile& file);
  void build();

  struct Symbol {
    std::uint64_t start = 0, size = 0;
    std::string_view name;  // mangled, without a version
    std::uint8_t type = 0;
    bool exported = false;
  };
  const Symbol* function(std::uint64_t address) const;
  const Symbol* object(std::uint64_t address) const;
  // A label to which the assembler gave no size, exactly at the address.
  const Symbol* unsized_label(std::uint64_t address) const;
  bool has_functions() const { return !functions_.empty(); }

 private:
  void add_table(const ElfFile& file, const ElfSection& section);
  void add_symbol(const ElfFile& file, const Symbol& symbol);
  static void index(std::vector<Symbol>& symbols, FlatIntervals& intervals);

  std::size_t read_ = 0;  // entries looked at, for the bound
  std::vector<Symbol> functions_, objects_, labels_;
  FlatIntervals function_index_, object_index_;
};

}  // namespace tailback::analyzers
