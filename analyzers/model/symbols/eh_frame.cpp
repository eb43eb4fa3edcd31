// SPDX-License-Identifier: Apache-2.0
// Binary search in .eh_frame_hdr, then the FDE's length by its CIE's pointer encoding.
#include "analyzers/model/symbols/eh_frame.h"

#include <limits>

namespace tailback::analyzers {
namespace {

constexpr std::uint8_t kEncodingDataSigned4 = 0x3b;  // relative to the table, 4 bytes signed: what all linkers write
constexpr std::size_t kEntry = 8;

struct Table {
  std::uint64_t address = 0;  // of .eh_frame_hdr
  std::uint64_t count = 0;
  Bytes entries;
};

unsigned pointer_size(std::uint8_t encoding) {
  switch (encoding & 0x07) {
    case 0: case 4: return 8;
    case 2: return 2;
    case 3: return 4;
    default: return 0;
  }
}

std::optional<Table> find_table(const ElfFile& file) {
  const auto address = file.eh_frame_hdr();
  if (!address) return std::nullopt;
  const Bytes bytes = file.bytes_at(*address, std::numeric_limits<std::size_t>::max());
  ByteReader reader(bytes);
  const std::uint8_t version = reader.u8(), frame_encoding = reader.u8(), count_encoding = reader.u8();
  if (version != 1 || reader.u8() != kEncodingDataSigned4) return std::nullopt;
  const unsigned frame_size = pointer_size(frame_encoding), count_size = pointer_size(count_encoding);
  if (!frame_size || !count_size) return std::nullopt;
  reader.skip(frame_size);
  Table table{*address, reader.sized(count_size), {}};
  if (!reader.ok() || table.count == 0 || table.count > reader.remaining() / kEntry) return std::nullopt;
  table.entries = bytes.subspan(reader.position(), table.count * kEntry);
  return table;
}

std::uint64_t entry_value(const Table& table, std::uint64_t index, unsigned field) {
  ByteReader reader(table.entries, index * kEntry + field);
  return table.address + static_cast<std::uint64_t>(static_cast<std::int64_t>(reader.fixed<std::int32_t>()));
}

// The encoding of code pointers in the FDEs of a CIE ('R' of its augmentation).
std::optional<std::uint8_t> fde_encoding(const ElfFile& file, std::uint64_t cie) {
  ByteReader reader(file.bytes_at(cie, 4096));
  const std::uint32_t length = reader.u32(), id = reader.u32();
  if (!reader.ok() || length == 0xffffffff || id != 0) return std::nullopt;
  const std::uint8_t version = reader.u8();
  const std::string_view augmentation = reader.text();
  if (augmentation.empty() || augmentation[0] != 'z') return std::uint8_t{0};
  reader.uleb();
  reader.sleb();
  if (version == 1) reader.u8(); else reader.uleb();
  reader.uleb();
  for (const char letter : augmentation.substr(1)) {
    if (letter == 'R') return reader.ok() ? std::optional(reader.u8()) : std::nullopt;
    if (letter == 'L') reader.u8();
    if (letter == 'P') reader.skip(pointer_size(reader.u8()));
  }
  return std::uint8_t{0};
}

std::optional<std::uint64_t> fde_size(const ElfFile& file, std::uint64_t fde) {
  ByteReader reader(file.bytes_at(fde, 64));
  const std::uint32_t length = reader.u32();
  if (!reader.ok() || length < 8 || length == 0xffffffff) return std::nullopt;
  const std::uint32_t back = reader.u32();
  const auto encoding = fde_encoding(file, fde + 4 - back);
  if (!encoding) return std::nullopt;
  const unsigned size = pointer_size(*encoding);
  if (!size) return std::nullopt;
  reader.skip(size);
  const std::uint64_t range = reader.sized(size);
  return reader.ok() ? std::optional(range) : std::nullopt;
}

}  // namespace

std::optional<AddressRange> unwind_range(const ElfFile& file, std::uint64_t address) {
  const auto table = find_table(file);
  if (!table || entry_value(*table, 0, 0) > address) return std::nullopt;
  std::uint64_t low = 0, high = table->count;  // the last entry that starts at or before the address lies in [low, high)
  while (high - low > 1) {
    const std::uint64_t middle = low + (high - low) / 2;
    (entry_value(*table, middle, 0) <= address ? low : high) = middle;
  }
  const std::uint64_t start = entry_value(*table, low, 0);
  const auto size = fde_size(file, entry_value(*table, low, 4));
  if (!size || address < start || address - start >= *size) return std::nullopt;
  return AddressRange{start, start + *size};
}

}  // namespace tailback::analyzers
