// SPDX-License-Identifier: Apache-2.0
// The framing of .debug_info: unit headers, abbreviation tables and the length of every attribute form, as far as a linear
// scan needs it. DWARF 2 to 5. libdw gives the same one entry at a time and many times slower; it is used for everything
// that is read once per name or per line. Any bytes as input: what does not fit ends the scan of its unit.
#pragma once
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "analyzers/model/symbols/byte_reader.h"

namespace tailback::analyzers {

struct UnitHeader {
  std::uint64_t offset = 0;      // of the unit in .debug_info
  std::uint64_t end = 0;
  std::uint64_t first_die = 0;
  std::uint64_t abbreviations = 0;  // offset in .debug_abbrev
  std::uint16_t version = 0;
  std::uint8_t address_size = 8, offset_size = 4;
  bool has_code = true;          // compile, partial and skeleton units; type units have none
};

std::vector<UnitHeader> read_unit_headers(Bytes debug_info);

struct AttributeSpec {
  std::uint16_t name = 0, form = 0;
  std::int64_t implicit = 0;
};

struct Abbreviation {
  std::uint16_t tag = 0;
  bool has_children = false;
  std::uint32_t first = 0, count = 0;  // into AbbreviationTable::specs
  std::int32_t fixed_size = -1;        // bytes of all attributes, -1 when it varies
};

class AbbreviationTable {
 public:
  // Replaces the contents by the table for the unit.
  void read(Bytes debug_abbrev, const UnitHeader& unit);
  const Abbreviation* find(std::uint64_t code) const;
  const AttributeSpec* specs(const Abbreviation& abbreviation) const { return specs_.data() + abbreviation.first; }

 private:
  void read_specs(ByteReader& reader, const UnitHeader& unit, Abbreviation& abbreviation);

  std::vector<Abbreviation> dense_;  // by code, as compilers number them
  std::unordered_map<std::uint64_t, Abbreviation> sparse_;
  std::vector<AttributeSpec> specs_;
};

// Reads an attribute's value; for blocks and texts only passes over them (0). False when the form is unknown.
bool read_form(ByteReader& reader, const UnitHeader& unit, std::uint16_t form, std::int64_t implicit, std::uint64_t& value);

}  // namespace tailback::analyzers
