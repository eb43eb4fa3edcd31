// SPDX-License-Identifier: Apache-2.0
// The linear pass over a unit's entries.
#include "analyzers/model/symbols/unit_index.h"

#include <dwarf.h>

#include <algorithm>

namespace tailback::analyzers {
namespace {

// What an entry says about code.
struct Attributes {
  std::uint64_t low = 0, high = 0, call_file = 0, call_line = 0;
  bool has_low = false, has_high = false, high_is_offset = false, has_ranges = false;
  bool low_is_index = false, high_is_index = false;
  bool has_linkage = false;  // a linkage name, or a reference to an entry that may have one
};

constexpr std::size_t kDeepestScope = 64;

bool is_scope(std::uint16_t tag) {
  return tag == DW_TAG_namespace || tag == DW_TAG_structure_type || tag == DW_TAG_class_type || tag == DW_TAG_union_type;
}

bool is_address_index(std::uint16_t form) {
  switch (form) {
    case DW_FORM_addrx: case DW_FORM_addrx1: case DW_FORM_addrx2: case DW_FORM_addrx3: case DW_FORM_addrx4:
    case DW_FORM_GNU_addr_index: return true;
    default: return false;
  }
}

}  // namespace

struct UnitIndex::Builder {
  UnitIndex& index;
  const Sections& sections;
  const UnitHeader& unit;
  const RangeReader& ranges;
  const CodeFilter& is_code;
  AbbreviationTable table{};
  struct Level {
    std::uint32_t code = CodeEntry::kNoParent;   // the code entry around it
    std::uint32_t scope = CodeEntry::kNoParent;  // the innermost scope around it
  };
  std::vector<Level> around{};          // the open levels
  std::uint64_t address_base = 8;       // the first table of .debug_addr, until the unit names its own
  std::uint64_t ranges_left = 0;        // hostile units may point all their entries at one endless list

  void scan();
  bool read_attributes(ByteReader& reader, const Abbreviation& abbreviation, Attributes& attributes);
  void note(const AttributeSpec& spec, std::uint64_t value, Attributes& attributes);
  std::uint64_t indexed_address(std::uint64_t number) const;
  std::uint32_t add_entry(std::uint64_t die, std::uint16_t tag, std::uint32_t outer, const Attributes& attributes);
  void add_ranges(std::uint64_t die, const Attributes& attributes, std::uint32_t priority, std::uint32_t id);
  void add_scope(std::uint64_t die, const Abbreviation& abbreviation, const Attributes& attributes, Level& level);
};

void UnitIndex::Builder::note(const AttributeSpec& spec, std::uint64_t value, Attributes& attributes) {
  switch (spec.name) {
    case DW_AT_low_pc:
      attributes.low = value;
      attributes.has_low = true;
      attributes.low_is_index = is_address_index(spec.form);
      break;
    case DW_AT_high_pc:
      attributes.high = value;
      attributes.has_high = true;
      attributes.high_is_index = is_address_index(spec.form);
      attributes.high_is_offset = !attributes.high_is_index && spec.form != DW_FORM_addr;
      break;
    case DW_AT_ranges: attributes.has_ranges = true; break;
    case DW_AT_call_file: attributes.call_file = value; break;
    case DW_AT_call_line: attributes.call_line = value; break;
    case DW_AT_addr_base: address_base = value; break;
    case DW_AT_linkage_name: case DW_AT_MIPS_linkage_name: case DW_AT_abstract_origin: case DW_AT_specification:
      attributes.has_linkage = true;
      break;
    default: break;
  }
}

bool UnitIndex::Builder::read_attributes(ByteReader& reader, const Abbreviation& abbreviation, Attributes& attributes) {
  const bool wanted = abbreviation.tag == DW_TAG_subprogram || abbreviation.tag == DW_TAG_inlined_subroutine ||
                      abbreviation.tag == DW_TAG_compile_unit || abbreviation.tag == DW_TAG_skeleton_unit;
  if (!wanted && abbreviation.fixed_size >= 0) {
    reader.skip(static_cast<std::uint64_t>(abbreviation.fixed_size));
    return reader.ok();
  }
  const AttributeSpec* spec = table.specs(abbreviation);
  for (std::uint32_t i = 0; i < abbreviation.count; ++i, ++spec) {
    std::uint64_t value = 0;
    if (!read_form(reader, unit, spec->form, spec->implicit, value)) return false;
    if (wanted) note(*spec, value, attributes);
  }
  return true;
}

std::uint64_t UnitIndex::Builder::indexed_address(std::uint64_t number) const {
  if (number > sections.addresses.size() / 8 || address_base > sections.addresses.size()) return 0;
  return ByteReader(sections.addresses, address_base + number * 8).u64();
}

void UnitIndex::Builder::add_ranges(std::uint64_t die, const Attributes& attributes, std::uint32_t priority, std::uint32_t id) {
  const auto add = [&](std::uint64_t start, std::uint64_t end) {
    if (start >= end || ranges_left == 0 || !is_code(start)) return;
    --ranges_left;
    index.intervals_.add(start, end, priority, id);
  };
  if (attributes.has_ranges) {
    ranges(die, add);
  } else if (attributes.has_low && attributes.has_high) {
    const std::uint64_t low = attributes.low_is_index ? indexed_address(attributes.low) : attributes.low;
    const std::uint64_t high = attributes.high_is_index ? indexed_address(attributes.high) : attributes.high;
    add(low, attributes.high_is_offset ? low + high : high);
  }
}

std::uint32_t UnitIndex::Builder::add_entry(std::uint64_t die, std::uint16_t tag, std::uint32_t outer,
                                            const Attributes& attributes) {
  if (!attributes.has_ranges && !(attributes.has_low && attributes.has_high)) return outer;
  const bool inlined = tag == DW_TAG_inlined_subroutine;
  if (inlined && outer == CodeEntry::kNoParent) return outer;
  const auto id = static_cast<std::uint32_t>(index.entries_.size());
  index.entries_.push_back({die, inlined ? outer : CodeEntry::kNoParent, static_cast<std::uint32_t>(attributes.call_file),
                            static_cast<std::uint32_t>(attributes.call_line)});
  add_ranges(die, attributes, static_cast<std::uint32_t>(around.size()), id);
  return id;
}

void UnitIndex::Builder::add_scope(std::uint64_t die, const Abbreviation& abbreviation, const Attributes& attributes,
                                   Level& level) {
  if (is_scope(abbreviation.tag) && abbreviation.has_children) {
    index.scopes_.push_back({die, level.scope});
    level.scope = static_cast<std::uint32_t>(index.scopes_.size() - 1);
  } else if (abbreviation.tag == DW_TAG_subprogram && level.scope != CodeEntry::kNoParent && !attributes.has_linkage) {
    index.members_.push_back({die, level.scope});
  }
}

void UnitIndex::Builder::scan() {
  ByteReader reader(sections.info.first(unit.end), unit.first_die);
  while (!reader.at_end()) {
    const std::uint64_t die = reader.position();
    const std::uint64_t code = reader.uleb();
    if (code == 0) {
      if (around.size() <= 1) return;
      around.pop_back();
      continue;
    }
    const Abbreviation* abbreviation = table.find(code);
    Attributes attributes;
    if (!abbreviation || !read_attributes(reader, *abbreviation, attributes)) return;
    Level inner = around.empty() ? Level{} : around.back();
    if (abbreviation->tag == DW_TAG_subprogram || abbreviation->tag == DW_TAG_inlined_subroutine)
      inner.code = add_entry(die, abbreviation->tag, inner.code, attributes);
    add_scope(die, *abbreviation, attributes, inner);
    if (abbreviation->has_children) around.push_back(inner);
    else if (around.empty()) return;
  }
}

void UnitIndex::build(const Sections& sections, const UnitHeader& unit, const RangeReader& ranges, const CodeFilter& is_code) {
  Builder builder{*this, sections, unit, ranges, is_code};
  builder.table.read(sections.abbreviations, unit);
  builder.ranges_left = unit.end - unit.offset + 4096;
  builder.scan();
  entries_.shrink_to_fit();
  if (members_.empty()) scopes_.clear();
  scopes_.shrink_to_fit();
  members_.shrink_to_fit();
  intervals_.build();
}

const CodeEntry* UnitIndex::find(std::uint64_t address) const {
  const std::uint32_t id = intervals_.find(address);
  return id == FlatIntervals::kNone ? nullptr : &entries_[id];
}

const CodeEntry* UnitIndex::parent(const CodeEntry& entry) const {
  return entry.parent == CodeEntry::kNoParent ? nullptr : &entries_[entry.parent];
}

std::vector<std::uint64_t> UnitIndex::scopes_of(std::uint64_t die) const {
  std::vector<std::uint64_t> chain;
  const auto found = std::lower_bound(members_.begin(), members_.end(), die,
                                      [](const Member& member, std::uint64_t wanted) { return member.die < wanted; });
  if (found == members_.end() || found->die != die) return chain;
  for (std::uint32_t at = found->scope; at != CodeEntry::kNoParent && chain.size() < kDeepestScope; at = scopes_[at].parent)
    chain.push_back(scopes_[at].die);
  return chain;
}

std::size_t UnitIndex::bytes() const {
  return entries_.capacity() * sizeof(CodeEntry) + scopes_.capacity() * sizeof(Scope) + members_.capacity() * sizeof(Member) +
         intervals_.bytes();
}

}  // namespace tailback::analyzers
