// SPDX-License-Identifier: Apache-2.0
// The linear pass over a unit's entries.
#include "analyzers/model/symbols/unit_index.h"

#include <dwarf.h>

namespace tailback::analyzers {
namespace {

// What an entry says about code.
struct Attributes {
  std::uint64_t low = 0, high = 0, call_file = 0, call_line = 0;
  bool has_low = false, has_high = false, high_is_offset = false, has_ranges = false;
  bool low_is_index = false, high_is_index = false;
};

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
  std::vector<std::uint32_t> around{};  // the code entry around each open level
  std::uint64_t address_base = 8;       // the first table of .debug_addr, until the unit names its own
  std::uint64_t ranges_left = 0;        // hostile units may point all their entries at one endless list

  void scan();
  bool read_attributes(ByteReader& reader, const Abbreviation& abbreviation, Attributes& attributes);
  void note(const AttributeSpec& spec, std::uint64_t value, Attributes& attributes);
  std::uint64_t indexed_address(std::uint64_t number) const;
  std::uint32_t add_entry(std::uint64_t die, std::uint16_t tag, std::uint32_t outer, const Attributes& attributes);
  void add_ranges(std::uint64_t die, const Attributes& attributes, std::uint32_t priority, std::uint32_t id);
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
    std::uint32_t inner = around.empty() ? CodeEntry::kNoParent : around.back();
    if (abbreviation->tag == DW_TAG_subprogram || abbreviation->tag == DW_TAG_inlined_subroutine)
      inner = add_entry(die, abbreviation->tag, inner, attributes);
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
  intervals_.build();
}

const CodeEntry* UnitIndex::find(std::uint64_t address) const {
  const std::uint32_t id = intervals_.find(address);
  return id == FlatIntervals::kNone ? nullptr : &entries_[id];
}

const CodeEntry* UnitIndex::parent(const CodeEntry& entry) const {
  return entry.parent == CodeEntry::kNoParent ? nullptr : &entries_[entry.parent];
}

}  // namespace tailback::analyzers
