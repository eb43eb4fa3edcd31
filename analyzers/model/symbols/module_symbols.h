// SPDX-License-Identifier: Apache-2.0
// Everything that can be found out about one module's addresses: its files, debug data, symbol tables, PLT stubs and unwind
// ranges, opened when first asked. Virtual addresses of the file throughout. Threading: internally locked.
#pragma once
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "analyzers/model/symbols/debug_files.h"
#include "analyzers/model/symbols/dwarf_index.h"
#include "analyzers/model/symbols/eh_frame.h"
#include "analyzers/model/symbols/name_table.h"
#include "analyzers/model/symbols/plt.h"
#include "analyzers/model/symbols/symbol_table.h"

namespace tailback::analyzers {

class ModuleSymbols {
 public:
  ModuleSymbols(const ModuleRow& row, const DebugSearch& search, NameTable& names);

  // Frames, innermost first; empty when neither debug data nor a symbol covers the address. A frame with function 0 has a
  // line but no name.
  std::vector<SymbolFrame> resolve(std::uint64_t address);
  std::optional<AddressRange> unwind_range(std::uint64_t address);
  std::string data_symbol(std::uint64_t address);  // mangled, empty when unknown

  struct Status {
    bool file_found = false;      // the module's own file
    bool refused = false;         // a file is there but of another build
    bool debug_data = false;
    bool symbols = false;
  };
  Status status();
  bool used_unchecked();  // its file gave names although the dump has no build id to compare; opens nothing
  ModuleId id() const { return id_; }
  const std::string& path() const { return path_; }
  const std::string& build_id() const { return build_id_; }

 private:
  void open();
  void open_debug_data();
  FunctionId symbol_function(std::uint64_t address);

  const ModuleId id_;
  const std::string path_, build_id_;
  const DebugSearch& search_;
  NameTable& names_;

  std::mutex mutex_;
  bool opened_ = false;
  Status status_;
  std::unique_ptr<ElfFile> module_, debug_;  // debug_: for its symbol table, apart from the one that dwarf_ owns
  std::unique_ptr<DwarfIndex> dwarf_;
  SymbolTable symbols_;
  std::unique_ptr<PltNames> plt_;
};

}  // namespace tailback::analyzers
