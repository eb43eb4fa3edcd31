// SPDX-License-Identifier: Apache-2.0
// Unit headers, abbreviations and form lengths by the DWARF 5 standard, sections 7.5 and 7.5.6, with the GNU extensions.
#include "analyzers/model/symbols/dwarf_units.h"

#include <dwarf.h>

namespace tailback::analyzers {
namespace {

constexpr std::size_t kMostSpecs = 4'000'000;

// Fixed length of a form, -1 when it varies, -2 when unknown.
int form_size(std::uint16_t form, const UnitHeader& unit) {
  switch (form) {
    case DW_FORM_flag_present: case DW_FORM_implicit_const: return 0;
    case DW_FORM_data1: case DW_FORM_ref1: case DW_FORM_flag: case DW_FORM_strx1: case DW_FORM_addrx1: return 1;
    case DW_FORM_data2: case DW_FORM_ref2: case DW_FORM_strx2: case DW_FORM_addrx2: return 2;
    case DW_FORM_strx3: case DW_FORM_addrx3: return 3;
    case DW_FORM_data4: case DW_FORM_ref4: case DW_FORM_strx4: case DW_FORM_addrx4: case DW_FORM_ref_sup4: return 4;
    case DW_FORM_data8: case DW_FORM_ref8: case DW_FORM_ref_sig8: case DW_FORM_ref_sup8: return 8;
    case DW_FORM_data16: return 16;
    case DW_FORM_addr: return unit.address_size;
    case DW_FORM_ref_addr: return unit.version <= 2 ? unit.address_size : unit.offset_size;
    case DW_FORM_strp: case DW_FORM_line_strp: case DW_FORM_strp_sup: case DW_FORM_sec_offset:
    case DW_FORM_GNU_ref_alt: case DW_FORM_GNU_strp_alt: return unit.offset_size;
    case DW_FORM_block: case DW_FORM_block1: case DW_FORM_block2: case DW_FORM_block4: case DW_FORM_exprloc:
    case DW_FORM_string: case DW_FORM_sdata: case DW_FORM_udata: case DW_FORM_ref_udata: case DW_FORM_strx:
    case DW_FORM_addrx: case DW_FORM_loclistx: case DW_FORM_rnglistx: case DW_FORM_indirect:
    case DW_FORM_GNU_addr_index: case DW_FORM_GNU_str_index: return -1;
    default: return -2;
  }
}

// Forms whose length is in the data.
bool read_varying(ByteReader& reader, std::uint16_t form, std::uint64_t& value) {
  switch (form) {
    case DW_FORM_block: case DW_FORM_exprloc: reader.skip(reader.uleb()); return true;
    case DW_FORM_block1: reader.skip(reader.u8()); return true;
    case DW_FORM_block2: reader.skip(reader.u16()); return true;
    case DW_FORM_block4: reader.skip(reader.u32()); return true;
    case DW_FORM_string: reader.text(); return true;
    case DW_FORM_sdata: value = static_cast<std::uint64_t>(reader.sleb()); return true;
    default: value = reader.uleb(); return true;
  }
}

bool read_header(ByteReader& reader, UnitHeader& unit, std::size_t section_size) {
  unit.offset = reader.position();
  std::uint64_t length = reader.u32();
  if (length == 0xffffffff) {
    length = reader.u64();
    unit.offset_size = 8;
  }
  if (!reader.ok() || length == 0 || length > section_size - reader.position()) return false;
  unit.end = reader.position() + length;
  unit.version = reader.u16();
  if (unit.version < 5) {
    unit.abbreviations = reader.sized(unit.offset_size);
    unit.address_size = reader.u8();
  } else {
    const std::uint8_t type = reader.u8();
    unit.address_size = reader.u8();
    unit.abbreviations = reader.sized(unit.offset_size);
    unit.has_code = type == DW_UT_compile || type == DW_UT_partial || type == DW_UT_skeleton;
    if (type == DW_UT_skeleton) reader.skip(8);
  }
  unit.first_die = reader.position();
  if (unit.version < 2 || unit.version > 5 || unit.address_size != 8) unit.has_code = false;
  return reader.ok();
}

}  // namespace

std::vector<UnitHeader> read_unit_headers(Bytes debug_info) {
  std::vector<UnitHeader> units;
  std::size_t position = 0;
  while (position < debug_info.size()) {
    ByteReader reader(debug_info, position);
    UnitHeader unit;
    if (!read_header(reader, unit, debug_info.size())) break;
    position = unit.end;
    if (unit.has_code && unit.first_die < unit.end) units.push_back(unit);
  }
  return units;
}

void AbbreviationTable::read_specs(ByteReader& reader, const UnitHeader& unit, Abbreviation& abbreviation) {
  abbreviation.first = static_cast<std::uint32_t>(specs_.size());
  std::int64_t total = 0;
  while (reader.ok() && specs_.size() < kMostSpecs) {
    AttributeSpec spec{static_cast<std::uint16_t>(reader.uleb()), static_cast<std::uint16_t>(reader.uleb()), 0};
    if (spec.form == DW_FORM_implicit_const) spec.implicit = reader.sleb();
    if (spec.name == 0 && spec.form == 0) break;
    const int size = form_size(spec.form, unit);
    total = size < 0 || total < 0 ? -1 : total + size;
    specs_.push_back(spec);
  }
  abbreviation.count = static_cast<std::uint32_t>(specs_.size()) - abbreviation.first;
  abbreviation.fixed_size = static_cast<std::int32_t>(total);
}

void AbbreviationTable::read(Bytes debug_abbrev, const UnitHeader& unit) {
  dense_.clear();
  sparse_.clear();
  specs_.clear();
  ByteReader reader(debug_abbrev, unit.abbreviations);
  while (reader.ok() && specs_.size() < kMostSpecs) {
    const std::uint64_t code = reader.uleb();
    if (code == 0) return;
    Abbreviation abbreviation;
    abbreviation.tag = static_cast<std::uint16_t>(reader.uleb());
    abbreviation.has_children = reader.u8() != 0;
    read_specs(reader, unit, abbreviation);
    if (code == dense_.size() + 1) dense_.push_back(abbreviation);
    else sparse_.emplace(code, abbreviation);
  }
}

const Abbreviation* AbbreviationTable::find(std::uint64_t code) const {
  if (code - 1 < dense_.size()) return &dense_[code - 1];
  const auto found = sparse_.find(code);
  return found == sparse_.end() ? nullptr : &found->second;
}

bool read_form(ByteReader& reader, const UnitHeader& unit, std::uint16_t form, std::int64_t implicit, std::uint64_t& value) {
  value = 0;
  if (form == DW_FORM_indirect) {
    form = static_cast<std::uint16_t>(reader.uleb());
    if (form == DW_FORM_indirect || form == DW_FORM_implicit_const) return false;
  }
  if (form == DW_FORM_implicit_const) {
    value = static_cast<std::uint64_t>(implicit);
    return true;
  }
  if (form == DW_FORM_flag_present) {
    value = 1;
    return true;
  }
  const int size = form_size(form, unit);
  if (size == -2) return false;
  if (size == -1) return read_varying(reader, form, value) && reader.ok();
  if (size <= 8) value = reader.sized(static_cast<unsigned>(size));
  else reader.skip(static_cast<std::uint64_t>(size));
  return reader.ok();
}

}  // namespace tailback::analyzers
