// SPDX-License-Identifier: Apache-2.0
// Program headers of a mapped module: which segments may be read, where its unwind tables end, what its build id is.
// Never opens a file; never reads an address that no readable segment covers.
#include "agent/capture/mapped_elf.h"

#include <elf.h>

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

Elf64_Phdr program_header(const Headers& headers, std::uint32_t index) {
  Elf64_Phdr header;
  __builtin_memcpy(&header, reinterpret_cast<const void*>(headers.at + index * sizeof header), sizeof header);
  return header;
}

bool open_headers(std::uint64_t start, std::uint64_t end, std::uint64_t bias, Headers& headers) {
  if (end <= start || end - start < sizeof(Elf64_Ehdr)) return false;
  Elf64_Ehdr elf;
  __builtin_memcpy(&elf, reinterpret_cast<const void*>(start), sizeof elf);
  if (elf.e_ident[0] != ELFMAG0 || elf.e_ident[1] != ELFMAG1 || elf.e_ident[2] != ELFMAG2 || elf.e_ident[3] != ELFMAG3) return false;
  if (elf.e_ident[EI_CLASS] != ELFCLASS64 || elf.e_machine != EM_X86_64 || elf.e_phentsize != sizeof(Elf64_Phdr)) return false;
  // The headers lie in the first page, which the header's own segment covers.
  constexpr std::uint64_t kFirstPage = 4096;
  if (elf.e_phoff > kFirstPage || elf.e_phoff + elf.e_phnum * sizeof(Elf64_Phdr) > kFirstPage) return false;
  if (elf.e_phoff + elf.e_phnum * sizeof(Elf64_Phdr) > end - start) return false;
  headers = Headers{start + elf.e_phoff, elf.e_phnum, bias, start, end};
  return true;
}

// The readable segment around an address, as far as the file backs or the loader fills it.
Range segment_around(const Headers& headers, std::uint64_t address) {
  for (std::uint32_t i = 0; i < headers.count; ++i) {
    const auto header = program_header(headers, i);
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

bool read_build_id(const Range& notes, MappedElf& elf) {
  DwarfCursor cursor(notes.low, notes.low, notes.high);
  while (cursor.more() && cursor.left() >= sizeof(Elf64_Nhdr)) {
    const auto name_bytes = cursor.fixed<std::uint32_t>();
    const auto value_bytes = cursor.fixed<std::uint32_t>();
    const auto type = cursor.fixed<std::uint32_t>();
    const bool gnu = name_bytes == 4 && cursor.left() >= 4 && __builtin_memcmp(reinterpret_cast<const void*>(cursor.at()), "GNU", 4) == 0;
    cursor.skip((std::uint64_t{name_bytes} + 3) & ~3ull);
    if (!cursor.ok()) return false;
    if (gnu && type == NT_GNU_BUILD_ID && value_bytes <= cursor.left()) {
      elf.build_id_bytes = value_bytes < sizeof elf.build_id ? value_bytes : sizeof elf.build_id;
      for (std::uint32_t i = 0; i < elf.build_id_bytes; ++i) elf.build_id[i] = cursor.fixed<std::uint8_t>();
      return true;
    }
    cursor.skip((std::uint64_t{value_bytes} + 3) & ~3ull);
  }
  return false;
}

void find_build_id(const Headers& headers, MappedElf& elf) {
  for (std::uint32_t i = 0; i < headers.count; ++i) {
    const auto header = program_header(headers, i);
    if (header.p_type != PT_NOTE) continue;
    Range notes{headers.bias + header.p_vaddr, headers.bias + header.p_vaddr + header.p_memsz};
    const auto around = segment_around(headers, notes.low);
    if (notes.high > around.high) notes.high = around.high;
    if (around.high && notes.high > notes.low && read_build_id(notes, elf)) return;
  }
}

}  // namespace

bool read_mapped_elf(std::uint64_t start, std::uint64_t end, std::uint64_t bias, std::uint64_t eh_frame_hdr, MappedElf& elf) {
  elf.unwind = UnwindTable{};
  elf.build_id_bytes = 0;
  Headers headers;
  if (!open_headers(start, end, bias, headers)) return false;
  if (eh_frame_hdr) find_unwind_table(headers, eh_frame_hdr, elf.unwind);
  find_build_id(headers, elf);
  return true;
}

}  // namespace tailback::capture
