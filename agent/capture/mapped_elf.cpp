// SPDX-License-Identifier: Apache-2.0
// Program headers of a mapped module: which segments may be read, where its unwind tables end, what its build id is.
// Never opens a file; never reads an address that no readable segment covers.
#include "agent/capture/mapped_elf.h"

#include <elf.h>

#include <cstddef>

#include "agent/capture/dwarf_cursor.h"

namespace tailback::capture {
namespace {

struct Headers {
  std::uint64_t at = 0;
  std::uint32_t count = 0;
  std::uint64_t bias = 0, low = 0, high = 0;  // of the module
};

struct Range {
  std::uint64_t low = 0, high = 0;
  bool contains(std::uint64_t address) const { return address >= low && address < high; }
};

// Aligned: the loader reads them in place, too.
const Elf64_Phdr& program_header(const Headers& headers, std::uint32_t index) {
  return reinterpret_cast<const Elf64_Phdr*>(headers.at)[index];
}

template <class T>
T field(std::uint64_t at) {
  T value;
  __builtin_memcpy(&value, reinterpret_cast<const void*>(at), sizeof value);
  return value;
}

bool open_headers(std::uint64_t start, std::uint64_t end, std::uint64_t bias, Headers& headers) {
  if (end <= start || end - start < sizeof(Elf64_Ehdr)) return false;
  if (__builtin_memcmp(reinterpret_cast<const void*>(start), "\177ELF", 4) != 0) return false;
  if (field<unsigned char>(start + EI_CLASS) != ELFCLASS64) return false;
  if (field<Elf64_Half>(start + offsetof(Elf64_Ehdr, e_machine)) != EM_X86_64) return false;
  if (field<Elf64_Half>(start + offsetof(Elf64_Ehdr, e_phentsize)) != sizeof(Elf64_Phdr)) return false;
  const auto offset = field<Elf64_Off>(start + offsetof(Elf64_Ehdr, e_phoff));
  const auto count = field<Elf64_Half>(start + offsetof(Elf64_Ehdr, e_phnum));
  const auto bytes = count * sizeof(Elf64_Phdr);
  // The headers lie in the first page, which the header's own segment covers.
  constexpr std::uint64_t kFirstPage = 4096;
  if (offset % alignof(Elf64_Phdr) != 0 || offset > kFirstPage || offset + bytes > kFirstPage || offset + bytes > end - start) return false;
  headers = Headers{start + offset, count, bias, start, end};
  return true;
}

// The readable segment around an address, as far as the file backs or the loader fills it.
Range segment_around(const Headers& headers, std::uint64_t address) {
  for (std::uint32_t i = 0; i < headers.count; ++i) {
    const auto& header = program_header(headers, i);
    if (header.p_type != PT_LOAD || !(header.p_flags & PF_R)) continue;
    const Range range{headers.bias + header.p_vaddr, headers.bias + header.p_vaddr + header.p_memsz};
    if (range.low >= headers.low && range.high <= headers.high && range.contains(address)) return range;
  }
  return {};
}

void find_unwind_table(const Headers& headers, std::uint64_t eh_frame_hdr, UnwindTable& table) {
  const auto around = segment_around(headers, eh_frame_hdr);
  if (!around.high) return;
  DwarfCursor cursor(eh_frame_hdr, around.low, around.high);
  const auto version = cursor.fixed<std::uint8_t>();
  const auto encoding = cursor.fixed<std::uint8_t>();
  cursor.skip(2);
  const auto frames = cursor.pointer(encoding, eh_frame_hdr);
  if (!cursor.ok() || version != 1) return;
  const auto frames_around = segment_around(headers, frames);
  if (!frames_around.high) return;
  table = UnwindTable{eh_frame_hdr, around.high, frames_around.low, frames_around.high};
}

bool find_note(const Range& notes, BuildId& id) {
  DwarfCursor cursor(notes.low, notes.low, notes.high);
  while (cursor.more() && cursor.left() >= sizeof(Elf64_Nhdr)) {
    const auto name_bytes = cursor.fixed<std::uint32_t>();
    const auto value_bytes = cursor.fixed<std::uint32_t>();
    const auto type = cursor.fixed<std::uint32_t>();
    const bool gnu = name_bytes == 4 && cursor.left() >= 4 && __builtin_memcmp(reinterpret_cast<const void*>(cursor.at()), "GNU", 4) == 0;
    cursor.skip((std::uint64_t{name_bytes} + 3) & ~3ull);
    if (!cursor.ok()) return false;
    if (gnu && type == NT_GNU_BUILD_ID && value_bytes <= cursor.left()) {
      id.size = value_bytes < sizeof id.bytes ? value_bytes : sizeof id.bytes;
      for (std::uint32_t i = 0; i < id.size; ++i) id.bytes[i] = cursor.fixed<std::uint8_t>();
      return true;
    }
    cursor.skip((std::uint64_t{value_bytes} + 3) & ~3ull);
  }
  return false;
}

}  // namespace

bool read_unwind_table(std::uint64_t start, std::uint64_t end, std::uint64_t bias, std::uint64_t eh_frame_hdr, UnwindTable& table) {
  table = UnwindTable{};
  Headers headers;
  if (!open_headers(start, end, bias, headers)) return false;
  if (eh_frame_hdr) find_unwind_table(headers, eh_frame_hdr, table);
  return true;
}

bool read_build_id(std::uint64_t start, std::uint64_t end, std::uint64_t bias, BuildId& id) {
  id.size = 0;
  Headers headers;
  if (!open_headers(start, end, bias, headers)) return false;
  for (std::uint32_t i = 0; i < headers.count; ++i) {
    const auto& header = program_header(headers, i);
    if (header.p_type != PT_NOTE) continue;
    Range notes{headers.bias + header.p_vaddr, headers.bias + header.p_vaddr + header.p_memsz};
    const auto around = segment_around(headers, notes.low);
    if (notes.high > around.high) notes.high = around.high;
    if (around.high && notes.high > notes.low && find_note(notes, id)) break;
  }
  return true;
}

}  // namespace tailback::capture
