// SPDX-License-Identifier: Apache-2.0
// Reads ELF symbol tables and decides which of several names an address gets.
#include "analyzers/model/symbols/symbol_table.h"

#include <elf.h>

#include <algorithm>

namespace tailback::analyzers {
namespace {

constexpr std::size_t kMostSymbols = 20'000'000;

std::size_t leading_underscores(std::string_view name) { return std::min(name.find_first_not_of('_'), name.size()); }

// Mangled names begin with an underscore by rule; it says nothing about who should use them.
std::size_t reserved_rank(std::string_view name) {
  return name.starts_with("_Z") || name.starts_with("_R") ? 0 : leading_underscores(name);
}

bool is_code(std::uint8_t type) { return type == STT_FUNC || type == STT_GNU_IFUNC; }

bool worse(const SymbolTable::Symbol& a, const SymbolTable::Symbol& b) {
  if (is_code(a.type) != is_code(b.type)) return !is_code(a.type);
  if (a.exported != b.exported) return !a.exported;
  const std::size_t reserved_a = reserved_rank(a.name), reserved_b = reserved_rank(b.name);
  if (reserved_a != reserved_b) return reserved_a > reserved_b;
  if (a.name.size() != b.name.size()) return a.name.size() > b.name.size();
  return a.name > b.name;
}

// Names of the assembler's and compiler's own labels.
bool is_internal_label(std::string_view name) { return name.empty() || name[0] == '$' || name.starts_with(".L"); }

}  // namespace

void SymbolTable::add(const ElfFile& file) {
  for (const ElfSection& section : file.sections())
    if (section.type == SHT_SYMTAB || section.type == SHT_DYNSYM) add_table(file, section);
}

void SymbolTable::add_table(const ElfFile& file, const ElfSection& section) {
  const auto names = std::find_if(file.sections().begin(), file.sections().end(),
                                  [&](const ElfSection& other) { return other.index == section.link; });
  if (names == file.sections().end()) return;
  const Bytes strings = file.data(*names), bytes = file.data(section);
  const std::size_t count = std::min(bytes.size() / sizeof(Elf64_Sym), kMostSymbols - std::min(read_, kMostSymbols));
  read_ += count;
  for (std::size_t i = 1; i < count; ++i) {
    ByteReader reader(bytes, i * sizeof(Elf64_Sym));
    const auto raw = reader.fixed<Elf64_Sym>();
    if (raw.st_shndx == SHN_UNDEF || raw.st_shndx == SHN_ABS || raw.st_name >= strings.size()) continue;
    ByteReader name(strings, raw.st_name);
    std::string_view text = name.text();
    text = text.substr(0, text.find('@'));
    if (is_internal_label(text)) continue;
    add_symbol(file, {raw.st_value, raw.st_size, text, static_cast<std::uint8_t>(ELF64_ST_TYPE(raw.st_info)),
                      ELF64_ST_BIND(raw.st_info) != STB_LOCAL});
  }
}

void SymbolTable::add_symbol(const ElfFile& file, const Symbol& symbol) {
  if (symbol.size > UINT64_MAX - symbol.start) return;
  const bool code = file.executable_at(symbol.start);
  if (is_code(symbol.type) || (symbol.type == STT_NOTYPE && code)) {
    if (code) (symbol.size ? functions_ : labels_).push_back(symbol);
  } else if (symbol.type == STT_OBJECT && symbol.size) {
    objects_.push_back(symbol);
  }
}

void SymbolTable::build() {
  index(functions_, function_index_);
  index(objects_, object_index_);
  std::sort(labels_.begin(), labels_.end(),
            [](const Symbol& a, const Symbol& b) { return a.start != b.start ? a.start < b.start : worse(b, a); });
}

// The priority is the place in the order, so an inner symbol wins over the one around it and the better alias over the worse.
void SymbolTable::index(std::vector<Symbol>& symbols, FlatIntervals& intervals) {
  std::sort(symbols.begin(), symbols.end(),
            [](const Symbol& a, const Symbol& b) { return a.start != b.start ? a.start < b.start : worse(a, b); });
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    const auto place = static_cast<std::uint32_t>(i);
    intervals.add(symbols[i].start, symbols[i].start + symbols[i].size, place, place);
  }
  intervals.build();
}

const SymbolTable::Symbol* SymbolTable::function(std::uint64_t address) const {
  const std::uint32_t found = function_index_.find(address);
  return found == FlatIntervals::kNone ? nullptr : &functions_[found];
}

const SymbolTable::Symbol* SymbolTable::object(std::uint64_t address) const {
  const std::uint32_t found = object_index_.find(address);
  return found == FlatIntervals::kNone ? nullptr : &objects_[found];
}

const SymbolTable::Symbol* SymbolTable::unsized_label(std::uint64_t address) const {
  const auto found = std::lower_bound(labels_.begin(), labels_.end(), address,
                                      [](const Symbol& label, std::uint64_t wanted) { return label.start < wanted; });
  return found != labels_.end() && found->start == address ? &*found : nullptr;
}

}  // namespace tailback::analyzers
