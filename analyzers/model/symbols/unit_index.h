// SPDX-License-Identifier: Apache-2.0
// The code of one DWARF unit as a flat index: address -> innermost function or inlined call, each linked to the one around it.
// Built by one linear pass over the unit, whatever its size (LTO merges a program into one unit). Bounded by the unit's
// bytes; nesting costs no stack.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "analyzers/model/symbols/dwarf_units.h"
#include "analyzers/model/symbols/intervals.h"

namespace tailback::analyzers {

struct CodeEntry {
  static constexpr std::uint32_t kNoParent = UINT32_MAX;
  std::uint64_t die = 0;              // offset in .debug_info
  std::uint32_t parent = kNoParent;   // the entry it is inlined into; none for functions
  std::uint32_t call_file = 0, call_line = 0;
};

class UnitIndex {
 public:
  // A namespace or class; scopes form chains outward.
  struct Scope {
    std::uint64_t die = 0;
    std::uint32_t parent = UINT32_MAX;
  };
  struct Sections {
    Bytes info, abbreviations, addresses;  // .debug_info, .debug_abbrev, .debug_addr
  };
  using RangeSink = std::function<void(std::uint64_t start, std::uint64_t end)>;
  // Gives the ranges of the entry at an offset (its DW_AT_ranges).
  using RangeReader = std::function<void(std::uint64_t die, const RangeSink& sink)>;
  using CodeFilter = std::function<bool(std::uint64_t address)>;

  // `is_code` refuses ranges of functions that the linker threw away (it sets their addresses to 0, 1 or -1).
  void build(const Sections& sections, const UnitHeader& unit, const RangeReader& ranges, const CodeFilter& is_code);

  const CodeEntry* find(std::uint64_t address) const;
  const CodeEntry* parent(const CodeEntry& entry) const;
  // What surrounds a function without a linkage name (implicit members), innermost first; offsets of the scopes' entries.
  std::vector<std::uint64_t> scopes_of(std::uint64_t die) const;
  std::size_t bytes() const;

 private:
  struct Builder;
  struct Member {
    std::uint64_t die;
    std::uint32_t scope;
  };
  std::vector<CodeEntry> entries_;
  std::vector<Scope> scopes_;
  std::vector<Member> members_;  // ascending
  FlatIntervals intervals_;
};

}  // namespace tailback::analyzers
