// SPDX-License-Identifier: Apache-2.0
// The order of a module's sources: debug data, symbol tables, PLT stubs.
#include "analyzers/model/symbols/module_symbols.h"

#include <elf.h>

namespace tailback::analyzers {
namespace {

bool has_debug_data(const ElfFile& file) {
  for (const char* name : {".debug_info", ".zdebug_info"}) {
    const ElfSection* section = file.section(name);
    if (section && section->type != SHT_NOBITS) return true;
  }
  return false;
}

}  // namespace

ModuleSymbols::ModuleSymbols(const ModuleRow& row, const DebugSearch& search, NameTable& names)
    : id_(row.id), path_(row.path), build_id_(row.build_id), search_(search), names_(names) {}

void ModuleSymbols::open() {
  if (opened_) return;
  opened_ = true;
  module_ = find_module_file(path_, build_id_, search_, status_.refused);
  status_.file_found = module_ != nullptr;
  if (search_.debug_data) open_debug_data();
  if (debug_) symbols_.add(*debug_);
  if (module_) {
    symbols_.add(*module_);
    plt_ = std::make_unique<PltNames>(*module_);
  }
  symbols_.build();
  status_.debug_data = dwarf_ != nullptr;
  status_.symbols = symbols_.has_functions();
}

void ModuleSymbols::open_debug_data() {
  const bool own_data = module_ && has_debug_data(*module_);
  if (!own_data) debug_ = find_debug_file(module_.get(), path_, build_id_, search_);
  const ElfFile* described = own_data ? module_.get() : debug_.get();
  if (!described || !has_debug_data(*described)) return;
  // A second handle: the index closes and reopens its own to bound memory.
  auto file = ElfFile::open(described->path());
  if (file && file->build_id() == described->build_id())
    dwarf_ = DwarfIndex::open(std::move(file), find_alternate_file(*described, search_), id_, names_);
}

FunctionId ModuleSymbols::symbol_function(std::uint64_t address) {
  if (const SymbolTable::Symbol* symbol = symbols_.function(address)) return names_.function(id_, std::string(symbol->name));
  if (const std::string target = plt_ ? plt_->target(address) : std::string(); !target.empty()) {
    const std::string full = demangle(target) + "@plt";
    return names_.literal(id_, full, simplify_name(demangle(target)) + "@plt", true);
  }
  // Without a size the unwind range that begins at a label stands in for it: both then mean the same function.
  const auto range = module_ ? analyzers::unwind_range(*module_, address) : std::nullopt;
  const SymbolTable::Symbol* label = symbols_.unsized_label(range ? range->start : address);
  return label ? names_.function(id_, std::string(label->name)) : 0;
}

std::vector<SymbolFrame> ModuleSymbols::resolve(std::uint64_t address) {
  const std::lock_guard lock(mutex_);
  open();
  DwarfFrames known;
  if (dwarf_) known = dwarf_->resolve(address);
  if (known.frames.empty()) {
    const FunctionId function = symbol_function(address);
    if (function) known.frames.push_back({function, 0, 0, false});
  } else if (known.needs_symbol_name || known.frames.back().function == 0) {
    // A mangled symbol says more than a plain name; a plain one may be a piece of the function ("main.cold").
    const SymbolTable::Symbol* symbol = symbols_.function(address);
    const bool better = known.frames.back().function == 0 || (symbol && symbol->name.starts_with("_Z"));
    if (const FunctionId function = better ? symbol_function(address) : 0) known.frames.back().function = function;
  }
  return std::move(known.frames);
}

std::optional<AddressRange> ModuleSymbols::unwind_range(std::uint64_t address) {
  const std::lock_guard lock(mutex_);
  open();
  return module_ ? analyzers::unwind_range(*module_, address) : std::nullopt;
}

std::string ModuleSymbols::data_symbol(std::uint64_t address) {
  const std::lock_guard lock(mutex_);
  open();
  const SymbolTable::Symbol* symbol = symbols_.object(address);
  return symbol ? std::string(symbol->name) : std::string();
}

bool ModuleSymbols::used_unchecked() {
  const std::lock_guard lock(mutex_);
  return opened_ && build_id_.empty() && module_;
}

ModuleSymbols::Status ModuleSymbols::status() {
  const std::lock_guard lock(mutex_);
  open();
  return status_;
}

}  // namespace tailback::analyzers
