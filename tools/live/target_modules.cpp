// SPDX-License-Identifier: Apache-2.0
#include "tools/live/target_modules.h"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace tailback::tools {

namespace {

constexpr std::size_t kMostHeaders = 128;
constexpr std::uint64_t kMostNotes = 64 << 10;
constexpr std::uint64_t kPage = 4096;

std::string build_id_in(std::uint64_t address, std::uint64_t size, TargetMemory& memory) {
  const std::uint64_t end = address + std::min(size, kMostNotes);
  const auto aligned = [](std::uint64_t bytes) { return (bytes + 3) & ~3ull; };
  while (address + sizeof(Elf64_Nhdr) <= end) {
    const auto note = memory.value<Elf64_Nhdr>(address);
    if (!note) return "";
    const std::uint64_t name = address + sizeof(Elf64_Nhdr), value = name + aligned(note->n_namesz);
    const auto owner = memory.value<std::uint32_t>(name);
    if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && owner && std::memcmp(&*owner, "GNU", 4) == 0) {
      std::string hex;
      for (std::uint64_t at = value; at < value + std::min<std::uint64_t>(note->n_descsz, 64); ++at)
        hex += fmt::format("{:02x}", memory.value<std::uint8_t>(at).value_or(0));
      return hex;
    }
    address = value + aligned(note->n_descsz);
  }
  return "";
}

// Fills in what the program headers at `module.start` say; false when this is no 64-bit ELF object.
bool read_headers(TargetModule& module, TargetMemory& memory) {
  const auto header = memory.value<Elf64_Ehdr>(module.start);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != ELFCLASS64) return false;
  std::vector<Elf64_Phdr> segments;
  for (std::size_t i = 0; i < std::min<std::size_t>(header->e_phnum, kMostHeaders); ++i)
    if (const auto segment = memory.value<Elf64_Phdr>(module.start + header->e_phoff + i * sizeof(Elf64_Phdr)))
      segments.push_back(*segment);
  const auto first =
      std::find_if(segments.begin(), segments.end(), [](const Elf64_Phdr& segment) { return segment.p_type == PT_LOAD; });
  if (first == segments.end()) return false;
  module.bias = module.start - ((first->p_vaddr - first->p_offset) & ~(kPage - 1));
  for (const Elf64_Phdr& segment : segments) {
    const std::uint64_t address = module.bias + segment.p_vaddr;
    if (segment.p_type == PT_LOAD) module.end = std::max(module.end, address + segment.p_memsz);
    if (segment.p_type == PT_GNU_EH_FRAME) module.unwind = mapped_table(address, memory);
    if (segment.p_type == PT_NOTE && module.build_id.empty()) module.build_id = build_id_in(address, segment.p_memsz, memory);
  }
  return true;
}

// A file that was replaced is known by its name; the build id keeps the new one from being taken for it.
void trim_deleted(TargetModule& module) {
  constexpr std::string_view kDeleted = " (deleted)";
  if (module.path.ends_with(kDeleted) && !module.build_id.empty()) module.path.erase(module.path.size() - kDeleted.size());
}

}  // namespace

std::vector<TargetModule> read_modules(const std::vector<MappedRegion>& regions, const std::string& file_root,
                                       TargetMemory& memory) {
  std::vector<TargetModule> modules;
  for (const MappedRegion& region : regions) {
    const bool file = region.name.starts_with('/') || region.name == "[vdso]";
    if (!file || region.offset != 0 || !region.readable) continue;
    if (!modules.empty() && region.start < modules.back().end) continue;
    TargetModule module;
    module.start = region.start, module.end = region.end, module.path = region.name;
    const auto code = std::find_if(regions.begin(), regions.end(),
                                   [&](const MappedRegion& other) { return other.executable && other.name == region.name; });
    if (code == regions.end() || !read_headers(module, memory)) continue;
    trim_deleted(module);
    if (module.unwind.count == 0)
      module.unwind = table_from_file(file_root + module.path, module.build_id, module.bias, modules.size(), memory);
    modules.push_back(std::move(module));
  }
  return modules;
}

const TargetModule* module_at(const std::vector<TargetModule>& modules, std::uint64_t address) {
  const auto next = std::upper_bound(modules.begin(), modules.end(), address,
                                     [](std::uint64_t a, const TargetModule& module) { return a < module.start; });
  return next == modules.begin() || address >= std::prev(next)->end ? nullptr : &*std::prev(next);
}

}  // namespace tailback::tools
