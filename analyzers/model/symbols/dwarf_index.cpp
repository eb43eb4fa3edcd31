// SPDX-License-Identifier: Apache-2.0
// Our own flat indexes say where code comes from; libdw says what it is called and which line it is.
#include "analyzers/model/symbols/dwarf_index.h"

#include <dwarf.h>
#include <elfutils/libdw.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>

#include "analyzers/model/symbols/unit_index.h"

namespace tailback::analyzers {
namespace {

constexpr std::size_t kIndexBudget = std::size_t{96} << 20;   // bytes of flat indexes
constexpr std::size_t kLibraryBudget = std::size_t{96} << 20; // estimated bytes of libdw's line tables
constexpr std::size_t kLineBytes = 64, kFileBytes = 128;
constexpr int kLongestOriginChain = 16;
constexpr std::size_t kDeepestInlining = 512;

bool refers_elsewhere(unsigned form) {
  return form == DW_FORM_GNU_ref_alt || form == DW_FORM_GNU_strp_alt || form == DW_FORM_ref_sup4 || form == DW_FORM_ref_sup8 ||
         form == DW_FORM_strp_sup;
}

// Other linkage names (an assembler name given by hand) say less than the name in the source.
bool is_mangled(std::string_view name) { return name.starts_with("_Z") || name.starts_with("_R"); }

bool is_cxx(int language) {
  switch (language) {
    case DW_LANG_C_plus_plus: case DW_LANG_C_plus_plus_03: case DW_LANG_C_plus_plus_11: case DW_LANG_C_plus_plus_14:
    case 0x2b: case 0x2c: return true;  // C++17 and C++20, which dwarf.h does not know yet
    default: return false;
  }
}

std::string tidy_path(const std::string& text) {
  if (text.find("/.") == std::string::npos && text.find("//") == std::string::npos) return text;
  return std::filesystem::path(text).lexically_normal().string();
}

}  // namespace

struct DwarfIndex::Impl {
  struct Unit {
    UnitHeader header;
    std::shared_ptr<const UnitIndex> index;
    std::optional<bool> cxx;
    bool lines_counted = false;
  };
  struct Name {
    FunctionId function = 0;
    bool plain = false;  // has no linkage name
  };

  std::unique_ptr<ElfFile> debug, alternate;
  ModuleId module;
  NameTable& names;
  Dwarf* main_dwarf = nullptr;
  Dwarf* alternate_dwarf = nullptr;
  UnitIndex::Sections sections;
  std::vector<Unit> units;
  FlatIntervals unit_ranges;
  std::size_t index_bytes = 0, library_bytes = 0;
  std::unordered_map<std::uint64_t, Name> by_origin;  // offset of the entry that holds the name (bit 63: alternate file)
  std::unordered_map<const char*, std::uint32_t> file_ids;

  Impl(std::unique_ptr<ElfFile> debug_file, std::unique_ptr<ElfFile> alternate_file, ModuleId id, NameTable& table)
      : debug(std::move(debug_file)), alternate(std::move(alternate_file)), module(id), names(table) {}
  ~Impl() { close_library(); }

  bool open_library();
  void close_library();
  bool load();
  void read_ranges(std::uint64_t die_offset, const UnitIndex::RangeSink& sink);
  Unit* unit_at(std::uint64_t address);
  std::shared_ptr<const UnitIndex> index_of(Unit& unit);  // shared: the budget may drop it while it is in use
  void account_lines(Unit& unit, Dwarf_Die& root);
  SymbolFrame innermost_line(Unit& unit, std::uint64_t address);
  std::uint32_t file_id(const char* path, Dwarf_Die& root);
  std::uint32_t call_file(Unit& unit, std::uint32_t number);
  bool follow(Dwarf_Die& die, unsigned attribute) const;
  Name name_of(std::uint64_t die_offset);
  Name read_name(Dwarf_Die die);
  std::string qualified(Dwarf_Die& die, const std::string& name);
  std::string place_of(Dwarf_Die& die) const;
  const char* text_of(Dwarf_Die& die, unsigned attribute) const;
  bool is_cxx_unit(Unit& unit);
};

bool DwarfIndex::Impl::open_library() {
  main_dwarf = dwarf_begin_elf(debug->elf(), DWARF_C_READ, nullptr);
  if (!main_dwarf) return false;
  if (alternate && (alternate_dwarf = dwarf_begin_elf(alternate->elf(), DWARF_C_READ, nullptr)))
    dwarf_setalt(main_dwarf, alternate_dwarf);
  return true;
}

void DwarfIndex::Impl::close_library() {
  if (main_dwarf) dwarf_end(main_dwarf);
  if (alternate_dwarf) dwarf_end(alternate_dwarf);
  main_dwarf = alternate_dwarf = nullptr;
  file_ids.clear();
  library_bytes = 0;
  for (Unit& unit : units) unit.lines_counted = false;
}

bool DwarfIndex::Impl::load() {
  if (!debug->sections_believable() || (alternate && !alternate->sections_believable()) || !open_library()) return false;
  const auto contents = [&](const char* name, const char* old_name) {
    const ElfSection* section = debug->section(name);
    if (!section) section = debug->section(old_name);
    return section ? debug->data(*section) : Bytes{};
  };
  sections = {contents(".debug_info", ".zdebug_info"), contents(".debug_abbrev", ".zdebug_abbrev"),
              contents(".debug_addr", ".zdebug_addr")};
  for (const UnitHeader& header : read_unit_headers(sections.info)) {
    const auto id = static_cast<std::uint32_t>(units.size());
    units.push_back({header, nullptr, std::nullopt, false});
    read_ranges(header.first_die, [&](std::uint64_t start, std::uint64_t end) {
      if (debug->executable_at(start)) unit_ranges.add(start, end, 0, id);
    });
  }
  unit_ranges.build();
  return !unit_ranges.empty();
}

void DwarfIndex::Impl::read_ranges(std::uint64_t die_offset, const UnitIndex::RangeSink& sink) {
  Dwarf_Die die;
  if (!dwarf_offdie(main_dwarf, die_offset, &die)) return;
  Dwarf_Addr base = 0, start = 0, end = 0;
  for (std::ptrdiff_t at = 0; (at = dwarf_ranges(&die, at, &base, &start, &end)) > 0;) sink(start, end);
}

DwarfIndex::Impl::Unit* DwarfIndex::Impl::unit_at(std::uint64_t address) {
  const std::uint32_t id = unit_ranges.find(address);
  return id == FlatIntervals::kNone ? nullptr : &units[id];
}

std::shared_ptr<const UnitIndex> DwarfIndex::Impl::index_of(Unit& unit) {
  if (unit.index) return unit.index;
  if (index_bytes > kIndexBudget) {
    for (Unit& other : units) other.index.reset();
    index_bytes = 0;
  }
  auto index = std::make_shared<UnitIndex>();
  index->build(
      sections, unit.header, [this](std::uint64_t die, const UnitIndex::RangeSink& sink) { read_ranges(die, sink); },
      [this](std::uint64_t address) { return debug->executable_at(address); });
  index_bytes += index->bytes();
  return unit.index = std::move(index);
}

// libdw keeps every line table it read until the handle is closed.
void DwarfIndex::Impl::account_lines(Unit& unit, Dwarf_Die& root) {
  if (unit.lines_counted) return;
  if (library_bytes > kLibraryBudget) {
    close_library();
    if (!open_library() || !dwarf_offdie(main_dwarf, unit.header.first_die, &root)) return;
  }
  Dwarf_Lines* lines = nullptr;
  Dwarf_Files* files = nullptr;
  std::size_t line_count = 0, file_count = 0;
  if (dwarf_getsrclines(&root, &lines, &line_count) == 0) library_bytes += line_count * kLineBytes;
  if (dwarf_getsrcfiles(&root, &files, &file_count) == 0) library_bytes += file_count * kFileBytes;
  unit.lines_counted = true;
}

SymbolFrame DwarfIndex::Impl::innermost_line(Unit& unit, std::uint64_t address) {
  SymbolFrame frame;
  Dwarf_Die root;
  if (!dwarf_offdie(main_dwarf, unit.header.first_die, &root)) return frame;
  account_lines(unit, root);
  Dwarf_Line* line = main_dwarf ? dwarf_getsrc_die(&root, address) : nullptr;
  int number = 0;
  if (!line || dwarf_lineno(line, &number) != 0) return frame;
  frame.file = file_id(dwarf_linesrc(line, nullptr, nullptr), root);
  frame.line = number > 0 ? static_cast<std::uint32_t>(number) : 0;
  return frame;
}

std::uint32_t DwarfIndex::Impl::file_id(const char* path, Dwarf_Die& root) {
  if (!path || std::string_view(path) == "???") return 0;
  const auto [place, added] = file_ids.emplace(path, 0);
  if (!added) return place->second;
  const char* directory = *path == '/' ? nullptr : text_of(root, DW_AT_comp_dir);
  const std::string whole = directory ? std::string(directory) + '/' + path : path;
  return place->second = names.file(tidy_path(whole));
}

std::uint32_t DwarfIndex::Impl::call_file(Unit& unit, std::uint32_t number) {
  Dwarf_Die root;
  Dwarf_Files* files = nullptr;
  std::size_t count = 0;
  if (!main_dwarf || !dwarf_offdie(main_dwarf, unit.header.first_die, &root)) return 0;
  if (dwarf_getsrcfiles(&root, &files, &count) != 0 || number >= count) return 0;
  return file_id(dwarf_filesrc(files, number, nullptr, nullptr), root);
}

// Goes to the entry an attribute refers to. References into a file that is not there are not followed: libdw would go and
// look for it by itself.
bool DwarfIndex::Impl::follow(Dwarf_Die& die, unsigned attribute) const {
  Dwarf_Attribute reference;
  if (!dwarf_attr(&die, attribute, &reference)) return false;
  if (refers_elsewhere(dwarf_whatform(&reference)) && (!alternate_dwarf || dwarf_cu_getdwarf(die.cu) != main_dwarf)) return false;
  Dwarf_Die target;
  if (!dwarf_formref_die(&reference, &target)) return false;
  die = target;
  return true;
}

const char* DwarfIndex::Impl::text_of(Dwarf_Die& die, unsigned attribute) const {
  Dwarf_Attribute value;
  if (!dwarf_attr(&die, attribute, &value)) return nullptr;
  if (refers_elsewhere(dwarf_whatform(&value)) && (!alternate_dwarf || dwarf_cu_getdwarf(die.cu) != main_dwarf)) return nullptr;
  const char* text = dwarf_formstring(&value);
  return text && *text ? text : nullptr;
}

// A name with the namespaces and classes around the entry that holds it.
std::string DwarfIndex::Impl::qualified(Dwarf_Die& die, const std::string& name) {
  if (dwarf_cu_getdwarf(die.cu) != main_dwarf) return name;
  const std::uint64_t offset = dwarf_dieoffset(&die);
  const auto after = std::upper_bound(units.begin(), units.end(), offset,
                                      [](std::uint64_t wanted, const Unit& unit) { return wanted < unit.header.offset; });
  if (after == units.begin()) return name;
  std::string text = name;
  for (const std::uint64_t scope : index_of(*std::prev(after))->scopes_of(offset)) {
    Dwarf_Die entry;
    if (!dwarf_offdie(main_dwarf, scope, &entry)) break;
    const char* part = text_of(entry, DW_AT_name);
    if (part) text = std::string(part) + "::" + text;
    else if (dwarf_tag(&entry) == DW_TAG_namespace) text = "(anonymous namespace)::" + text;
    else if (text.starts_with("operator()")) text.replace(0, std::strlen("operator()"), "{lambda" + place_of(entry) + "}");
    else text = "{unnamed type" + place_of(entry) + "}::" + text;
  }
  return text;
}

// What has no name is told from others without one by where it is written.
std::string DwarfIndex::Impl::place_of(Dwarf_Die& die) const {
  const char* path = dwarf_decl_file(&die);
  int line = 0;
  if (!path || dwarf_decl_line(&die, &line) != 0) return {};
  return " at " + std::string(path).substr(std::string_view(path).rfind('/') + 1) + ":" + std::to_string(line);
}

DwarfIndex::Impl::Name DwarfIndex::Impl::read_name(Dwarf_Die die) {
  std::string plain, other;
  Dwarf_Die holder{};
  for (int step = 0; step < kLongestOriginChain; ++step) {
    for (const unsigned attribute : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name}) {
      const char* text = text_of(die, attribute);
      if (text && is_mangled(text)) return {names.function(module, text), false};
      if (text) other = text;
    }
    if (const char* text = text_of(die, DW_AT_name)) {
      plain = text;
      holder = die;
    }
    if (!follow(die, DW_AT_abstract_origin) && !follow(die, DW_AT_specification)) break;
  }
  if (plain.empty()) return other.empty() ? Name{} : Name{names.function(module, other), true};
  return {names.function(module, qualified(holder, plain)), true};
}

DwarfIndex::Impl::Name DwarfIndex::Impl::name_of(std::uint64_t die_offset) {
  Dwarf_Die die;
  if (!main_dwarf || !dwarf_offdie(main_dwarf, die_offset, &die)) return {};
  follow(die, DW_AT_abstract_origin);
  std::uint64_t origin = dwarf_dieoffset(&die);
  if (dwarf_cu_getdwarf(die.cu) != main_dwarf) origin |= std::uint64_t{1} << 63;
  const auto [place, added] = by_origin.emplace(origin, Name{});
  if (added) place->second = read_name(die);
  return place->second;
}

bool DwarfIndex::Impl::is_cxx_unit(Unit& unit) {
  Dwarf_Die root;
  if (!unit.cxx) unit.cxx = main_dwarf && dwarf_offdie(main_dwarf, unit.header.first_die, &root) && is_cxx(dwarf_srclang(&root));
  return *unit.cxx;
}

std::unique_ptr<DwarfIndex> DwarfIndex::open(std::unique_ptr<ElfFile> debug, std::unique_ptr<ElfFile> alternate, ModuleId module,
                                             NameTable& names) {
  auto impl = std::make_unique<Impl>(std::move(debug), std::move(alternate), module, names);
  if (!impl->load()) return nullptr;
  return std::unique_ptr<DwarfIndex>(new DwarfIndex(std::move(impl)));
}

DwarfIndex::DwarfIndex(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DwarfIndex::~DwarfIndex() = default;

DwarfFrames DwarfIndex::resolve(std::uint64_t address) {
  DwarfFrames result;
  Impl::Unit* unit = impl_->main_dwarf ? impl_->unit_at(address) : nullptr;
  if (!unit) return result;
  SymbolFrame frame = impl_->innermost_line(*unit, address);
  const std::shared_ptr<const UnitIndex> index = impl_->index_of(*unit);
  const CodeEntry* entry = index->find(address);
  if (!entry) {
    if (frame.line) result.frames.push_back(frame);
    return result;
  }
  for (; entry && result.frames.size() < kDeepestInlining; entry = index->parent(*entry)) {
    const Impl::Name name = impl_->name_of(entry->die);
    frame.function = name.function;
    frame.inlined = index->parent(*entry) != nullptr;
    result.frames.push_back(frame);
    result.needs_symbol_name = !frame.inlined && (name.function == 0 || (name.plain && impl_->is_cxx_unit(*unit)));
    frame = {};
    if (index->parent(*entry)) {
      frame.line = entry->call_line;
      frame.file = impl_->call_file(*unit, entry->call_file);
    }
  }
  return result;
}

}  // namespace tailback::analyzers
