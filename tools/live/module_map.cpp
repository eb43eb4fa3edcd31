// SPDX-License-Identifier: Apache-2.0
#include "tools/live/module_map.h"

#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gelf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <sstream>

namespace tailback::tools {

namespace {

using analyzers::ModuleRow;

struct Mapping {
  std::uint64_t start = 0, end = 0, offset = 0, inode = 0;
  std::string path;
};

std::vector<Mapping> file_mappings(pid_t pid) {
  std::vector<Mapping> mappings;
  std::ifstream maps(fmt::format("/proc/{}/maps", pid));
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words(line);
    std::string rights, device;
    Mapping mapping;
    char dash = 0;
    words >> std::hex >> mapping.start >> dash >> mapping.end >> rights >> mapping.offset >> device >> std::dec >> mapping.inode >> std::ws;
    std::getline(words, mapping.path);
    if (mapping.path.starts_with('/') || mapping.path == "[vdso]") mappings.push_back(std::move(mapping));
  }
  return mappings;
}

std::string reachable(pid_t pid, const Mapping& mapping) {
  struct stat status {};
  if (::stat(mapping.path.c_str(), &status) == 0 && status.st_ino == mapping.inode) return mapping.path;
  return fmt::format("/proc/{}/root{}", pid, mapping.path);
}

// Build id and what lies between addresses in the file and those in memory; false: the file is no ELF object.
bool read_object(const std::string& path, const Mapping& mapping, ModuleRow& module) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return false;
  elf_version(EV_CURRENT);
  Elf* elf = elf_begin(file, ELF_C_READ_MMAP, nullptr);
  bool known = false;
  std::size_t segments = 0;
  if (elf && elf_kind(elf) == ELF_K_ELF && elf_getphdrnum(elf, &segments) == 0) {
    GElf_Phdr segment;
    for (std::size_t i = 0; i < segments && !known; ++i) {
      if (!gelf_getphdr(elf, static_cast<int>(i), &segment) || segment.p_type != PT_LOAD) continue;
      if (mapping.offset > segment.p_offset || segment.p_offset >= mapping.offset + (mapping.end - mapping.start)) continue;
      module.bias = mapping.start - (segment.p_vaddr - segment.p_offset + mapping.offset);
      known = true;
    }
    const void* id = nullptr;
    const ssize_t bytes = dwelf_elf_gnu_build_id(elf, &id);
    for (ssize_t i = 0; i < bytes; ++i) module.build_id += fmt::format("{:02x}", static_cast<const unsigned char*>(id)[i]);
  }
  elf_end(elf);
  ::close(file);
  return known;
}

}  // namespace

std::vector<ModuleRow> modules_of(pid_t pid) {
  std::vector<ModuleRow> modules;
  std::string last;
  for (const Mapping& mapping : file_mappings(pid)) {
    if (mapping.path == last && !modules.empty()) {
      modules.back().end = mapping.end;
      continue;
    }
    ModuleRow module;
    module.start = mapping.start;
    module.end = mapping.end;
    module.path = mapping.path == "[vdso]" ? mapping.path : reachable(pid, mapping);
    if (mapping.path == "[vdso]") module.bias = mapping.start;
    else if (!read_object(module.path, mapping, module)) continue;
    last = mapping.path;
    module.id = static_cast<analyzers::ModuleId>(modules.size() + 1);
    modules.push_back(std::move(module));
  }
  return modules;
}

}  // namespace tailback::tools
