// SPDX-License-Identifier: Apache-2.0
#include "tools/live/unwind_tables.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <vector>

#include "analyzers/model/symbols/elf_file.h"

namespace tailback::tools {

namespace {

using analyzers::ByteReader;
using analyzers::Bytes;

// DWARF's pointer encodings: those that linkers use in .eh_frame_hdr, and compilers in .eh_frame.
constexpr std::uint8_t kAbsolute = 0x00, kUdata4 = 0x03, kSdata4 = 0x0b, kPcRelative = 0x10, kTableRelative = 0x30;

struct TableHeader {
  std::uint8_t version, frame_encoding, count_encoding, table_encoding;
  std::int32_t frame;
  std::uint32_t count;
};

struct Entry {
  std::int32_t code, entry;
};

unsigned pointer_size(std::uint8_t encoding) {
  return (encoding & 0x07) == 0 || (encoding & 0x07) == 4 ? 8 : (encoding & 0x07) == 3 ? 4 : 2;
}

// The encoding of code pointers in the entries of the CIE whose augmentation string is next; nothing: not understood.
std::optional<std::uint8_t> code_encoding(ByteReader reader) {
  const std::uint8_t version = reader.u8();
  const std::string_view augmentation = reader.text();
  if (augmentation.empty()) return kAbsolute;
  if (augmentation[0] != 'z') return std::nullopt;
  reader.uleb(), reader.sleb();
  if (version == 1)
    reader.u8();
  else
    reader.uleb();
  reader.uleb();
  for (const char letter : augmentation.substr(1)) {
    if (letter == 'R') return reader.ok() ? std::optional(reader.u8()) : std::nullopt;
    if (letter == 'L') reader.u8();
    if (letter == 'P') reader.skip(pointer_size(reader.u8()));
  }
  return kAbsolute;
}

// Virtual address of the code of an entry whose pointer, at the virtual address `at`, is next.
std::optional<std::uint64_t> code_of(ByteReader reader, std::uint64_t at, std::uint8_t encoding) {
  std::uint64_t value = 0;
  switch (encoding & 0x0f) {
    case kAbsolute:
      value = reader.fixed<std::uint64_t>();
      break;
    case kUdata4:
      value = reader.fixed<std::uint32_t>();
      break;
    case kSdata4:
      value = static_cast<std::uint64_t>(static_cast<std::int64_t>(reader.fixed<std::int32_t>()));
      break;
    default:
      return std::nullopt;
  }
  if (!reader.ok() || value == 0) return std::nullopt;  // 0: the linker dropped the function
  if ((encoding & 0x70) == kPcRelative) return at + value;
  return (encoding & 0x70) == kAbsolute ? std::optional(value) : std::nullopt;
}

// Offsets from `address`, the section's virtual one.
std::vector<Entry> entries_of(Bytes section, std::uint64_t address) {
  constexpr std::size_t kHead = 8;                               // length and id
  std::map<std::size_t, std::optional<std::uint8_t>> encodings;  // by place of the CIE
  std::vector<Entry> entries;
  for (std::size_t at = 0; at + kHead <= section.size();) {
    ByteReader reader(section, at);
    const std::uint32_t length = reader.u32(), id = reader.u32();
    if (length == 0 || length == 0xffffffff) break;
    if (id == 0) {
      encodings[at] = code_encoding(reader);
    } else if (const auto cie = encodings.find(at + 4 - id); cie != encodings.end() && cie->second) {
      const auto code = code_of(reader, address + at + kHead, *cie->second);
      if (code) entries.push_back({static_cast<std::int32_t>(*code - address), static_cast<std::int32_t>(at)});
    }
    at += 4 + static_cast<std::size_t>(length);
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.code < b.code; });
  return entries;
}

}  // namespace

UnwindTable mapped_table(std::uint64_t eh_frame_hdr, TargetMemory& memory) {
  const auto header = memory.value<TableHeader>(eh_frame_hdr);
  if (!header || header->version != 1 || header->frame_encoding != (kPcRelative | kSdata4) || header->count_encoding != kUdata4 ||
      header->table_encoding != (kTableRelative | kSdata4))
    return {};
  return {eh_frame_hdr, eh_frame_hdr + sizeof(TableHeader), header->count};
}

UnwindTable table_from_file(const std::string& path, const std::string& build_id, std::uint64_t bias, std::uint64_t number,
                            TargetMemory& memory) {
  constexpr std::uint64_t kNobodys = 0x8000'0000'0000'0000, kApart = 1ull << 32;  // not canonical: nothing is ever mapped there
  const auto file = analyzers::ElfFile::open(path);
  if (!file || file->build_id() != build_id) return {};
  const analyzers::ElfSection* section = file->section(".eh_frame");
  if (!section) return {};
  const std::vector<Entry> entries = entries_of(file->data(*section), section->address);
  if (entries.empty()) return {};
  std::vector<std::uint8_t> bytes(entries.size() * sizeof(Entry));
  std::memcpy(bytes.data(), entries.data(), bytes.size());
  const std::uint64_t place = kNobodys + number * kApart;
  memory.put(place, std::move(bytes));
  return {bias + section->address, place, entries.size()};
}

}  // namespace tailback::tools
