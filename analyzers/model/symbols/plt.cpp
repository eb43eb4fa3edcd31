// SPDX-License-Identifier: Apache-2.0
// Decodes PLT stubs (with and without ENDBR64 and BND prefixes) and matches their GOT slots to relocations.
#include "analyzers/model/symbols/plt.h"

#include <elf.h>

#include <algorithm>

namespace tailback::analyzers {
namespace {

constexpr std::size_t kMostRelocations = 4'000'000;

// Length of the stubs in a section; GNU ld writes entries of 16 bytes, .plt.got ones of 8 or 16.
std::uint64_t stub_size(const ElfSection& section) {
  return section.entry_size == 8 || section.entry_size == 16 ? section.entry_size : 16;
}

// The GOT slot that a stub jumps through, as displacement and length of the code before it; 0 when it is no such stub.
std::uint64_t jump_slot(Bytes stub, std::uint64_t address) {
  ByteReader reader(stub);
  std::size_t at = 0;
  constexpr std::uint8_t kEndbr[] = {0xf3, 0x0f, 0x1e, 0xfa};
  if (stub.size() >= 4 && std::equal(kEndbr, kEndbr + 4, stub.begin())) at = 4;
  if (at < stub.size() && stub[at] == 0xf2) ++at;  // BND
  if (at + 6 > stub.size() || stub[at] != 0xff || stub[at + 1] != 0x25) return 0;
  reader.skip(at + 2);
  const auto displacement = static_cast<std::int64_t>(reader.fixed<std::int32_t>());
  return address + reader.position() + static_cast<std::uint64_t>(displacement);
}

}  // namespace

PltNames::PltNames(const ElfFile& file) : file_(file) {
  if (file.machine() != EM_X86_64) return;
  for (const ElfSection& section : file.sections())
    if (section.type == SHT_RELA && (section.flags & SHF_ALLOC)) read_relocations(section);
  for (const ElfSection& section : file.sections())
    if (section.name == ".plt" || section.name == ".plt.sec" || section.name == ".plt.got") read_stubs(section);
}

void PltNames::read_relocations(const ElfSection& section) {
  const ElfSection* symbols = nullptr;
  const ElfSection* strings = nullptr;
  for (const ElfSection& other : file_.sections())
    if (other.index == section.link && other.type == SHT_DYNSYM) symbols = &other;
  for (const ElfSection& other : file_.sections())
    if (symbols && other.index == symbols->link) strings = &other;
  if (!symbols || !strings) return;
  const Bytes relocations = file_.data(section), table = file_.data(*symbols), names = file_.data(*strings);
  const std::size_t count = std::min(relocations.size() / sizeof(Elf64_Rela), kMostRelocations);
  for (std::size_t i = 0; i < count; ++i) {
    ByteReader reader(relocations, i * sizeof(Elf64_Rela));
    const auto relocation = reader.fixed<Elf64_Rela>();
    const auto type = ELF64_R_TYPE(relocation.r_info);
    if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) continue;
    ByteReader entry(table, ELF64_R_SYM(relocation.r_info) * sizeof(Elf64_Sym));
    const auto symbol = entry.fixed<Elf64_Sym>();
    if (!entry.ok() || symbol.st_name >= names.size()) continue;
    const std::string_view name = ByteReader(names, symbol.st_name).text();
    if (!name.empty()) slots_.emplace(relocation.r_offset, name);
  }
}

void PltNames::read_stubs(const ElfSection& section) {
  const Bytes code = file_.data(section);
  const std::uint64_t size = stub_size(section);
  for (std::uint64_t at = 0; at + size <= code.size(); at += size) {
    const std::uint64_t slot = jump_slot(code.subspan(at, size), section.address + at);
    const auto named = slots_.find(slot);
    if (named != slots_.end()) stubs_.emplace(section.address + at, Stub{section.address + at + size, named->second});
  }
}

std::string PltNames::target(std::uint64_t address) const {
  auto after = stubs_.upper_bound(address);
  if (after == stubs_.begin()) return {};
  const auto& [start, stub] = *--after;
  return address < stub.end ? stub.name : std::string();
}

}  // namespace tailback::analyzers
