// SPDX-License-Identifier: Apache-2.0
// Look-up of frame description entries: the sorted table of .eh_frame_hdr, the FDE it points to and that FDE's CIE.
// Never reads outside the segments that the UnwindTable names; never follows an indirect pointer.
#include "agent/capture/cfi.h"

namespace tailback::capture {
namespace {

constexpr std::uint8_t kSearchTableEncoding = 0x3b;  // sdata4, relative to the header: the only one that linkers write
constexpr unsigned kReturnAddressColumn = 16;

struct SearchTable {
  std::uint64_t entries = 0, count = 0;
};

bool open_search_table(const UnwindTable& table, SearchTable& search) {
  if (!table.header) return false;
  DwarfCursor cursor(table.header, table.header, table.header_end);
  const auto version = cursor.fixed<std::uint8_t>();
  const auto frames_encoding = cursor.fixed<std::uint8_t>();
  const auto count_encoding = cursor.fixed<std::uint8_t>();
  const auto entry_encoding = cursor.fixed<std::uint8_t>();
  if (version != 1 || count_encoding == kPointerOmitted || entry_encoding != kSearchTableEncoding) return false;
  cursor.pointer(frames_encoding, table.header);
  search.count = cursor.pointer(count_encoding, table.header);
  search.entries = cursor.at();
  return cursor.ok() && search.count <= cursor.left() / 8;
}

std::int32_t table_word(const SearchTable& search, std::uint64_t index, unsigned word) {
  std::int32_t value;
  __builtin_memcpy(&value, reinterpret_cast<const void*>(search.entries + index * 8 + word * 4), sizeof value);
  return value;
}

std::uint64_t entry_start(const UnwindTable& table, const SearchTable& search, std::uint64_t index) {
  return table.header + static_cast<std::uint64_t>(static_cast<std::int64_t>(table_word(search, index, 0)));
}

// Length field of a CIE or FDE: the cursor then ends where the record does.
bool enter_record(DwarfCursor& cursor) {
  std::uint64_t length = cursor.fixed<std::uint32_t>();
  if (length == 0xffffffff) length = cursor.fixed<std::uint64_t>();
  if (!cursor.ok() || length == 0) return false;
  cursor.narrow(length);
  return cursor.ok();
}

struct Augmentation {
  std::uint64_t letters = 0;
  bool sized = false;
};

// The letters that follow 'z', in order; they say what the augmentation data hold.
bool read_augmentation(DwarfCursor cursor, const Augmentation& augmentation, Fde& fde) {
  DwarfCursor letters(augmentation.letters, augmentation.letters, cursor.at());
  for (auto letter = letters.fixed<char>(); letter && letters.ok(); letter = letters.fixed<char>()) {
    switch (letter) {
      case 'R': fde.pointer_encoding = cursor.fixed<std::uint8_t>(); break;
      case 'L': cursor.skip(1); break;
      case 'P': cursor.offset(cursor.fixed<std::uint8_t>()); break;
      case 'S': fde.signal_frame = true; break;
      case 'B': break;
      default: return cursor.ok();  // unknown letters come last by convention; their data are skipped by the size
    }
  }
  return cursor.ok();
}

bool read_cie(const UnwindTable& table, std::uint64_t at, Fde& fde, bool& sized) {
  DwarfCursor cursor(at, table.frames_low, table.frames_high);
  if (!enter_record(cursor)) return false;
  const auto id = cursor.fixed<std::uint32_t>();
  const auto version = cursor.fixed<std::uint8_t>();
  if (id != 0 || (version != 1 && version != 3 && version != 4)) return false;
  Augmentation augmentation{cursor.at()};
  const auto first = cursor.fixed<char>();
  if (first == 'z') {
    augmentation.sized = true;
    augmentation.letters = cursor.at();
  } else if (first) {
    return false;
  }
  for (auto letter = first; letter && cursor.ok();) letter = cursor.fixed<char>();
  if (version == 4) cursor.skip(2);  // sizes of addresses and segments
  fde.code_align = cursor.uleb();
  fde.data_align = cursor.sleb();
  const auto return_column = version == 1 ? cursor.fixed<std::uint8_t>() : cursor.uleb();
  if (!cursor.ok() || return_column != kReturnAddressColumn) return false;
  fde.pointer_encoding = 0;
  fde.signal_frame = false;
  sized = augmentation.sized;
  if (sized) {
    const auto size = cursor.uleb();
    if (!cursor.ok() || size > cursor.left()) return false;
    if (!read_augmentation(cursor, augmentation, fde)) return false;
    cursor.skip(size);
  }
  fde.common_program = cursor;
  return cursor.ok() && !(fde.pointer_encoding & kPointerIndirect);
}

bool read_fde(const UnwindTable& table, std::uint64_t at, Fde& fde) {
  DwarfCursor cursor(at, table.frames_low, table.frames_high);
  if (!enter_record(cursor)) return false;
  const auto field = cursor.at();
  const auto distance = cursor.fixed<std::uint32_t>();
  bool sized = false;
  if (!cursor.ok() || distance == 0 || !read_cie(table, field - distance, fde, sized)) return false;
  fde.start = cursor.pointer(fde.pointer_encoding, table.header);
  fde.size = cursor.offset(fde.pointer_encoding);
  if (sized) cursor.skip(cursor.uleb());
  fde.program = cursor;
  return cursor.ok() && fde.start + fde.size >= fde.start;
}

bool read_entry(const UnwindTable& table, const SearchTable& search, std::uint64_t index, Fde& fde) {
  const auto offset = static_cast<std::uint64_t>(static_cast<std::int64_t>(table_word(search, index, 1)));
  return read_fde(table, table.header + offset, fde);
}

}  // namespace

bool find_fde(const UnwindTable& table, std::uint64_t address, Fde& fde) {
  SearchTable search;
  if (!open_search_table(table, search)) return false;
  std::uint64_t low = 0, high = search.count;  // the last entry that starts at or before the address
  while (low < high) {
    const auto middle = low + (high - low) / 2;
    if (entry_start(table, search, middle) <= address) low = middle + 1;
    else high = middle;
  }
  if (low == 0 || !read_entry(table, search, low - 1, fde)) return false;
  return address >= fde.start && address - fde.start < fde.size;
}

std::uint64_t fde_count(const UnwindTable& table) {
  SearchTable search;
  return open_search_table(table, search) ? search.count : 0;
}

bool fde_at(const UnwindTable& table, std::uint64_t index, Fde& fde) {
  SearchTable search;
  return open_search_table(table, search) && index < search.count && read_entry(table, search, index, fde);
}

}  // namespace tailback::capture
