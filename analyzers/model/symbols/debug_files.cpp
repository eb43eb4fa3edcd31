// SPDX-License-Identifier: Apache-2.0
// The search order of GDB's manual ("Separate Debug Files"), with every candidate checked before it is believed.
#include "analyzers/model/symbols/debug_files.h"

#include <sys/auxv.h>

#include <array>
#include <filesystem>

#include "analyzers/model/symbols/debuginfod.h"

namespace tailback::analyzers {
namespace {

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string(".") : path.substr(0, slash);
}

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string by_build_id(const std::string& directory, const std::string& build_id) {
  return directory + "/.build-id/" + build_id.substr(0, 2) + "/" + build_id.substr(2) + ".debug";
}

std::unique_ptr<ElfFile> open_checked(const std::string& path, const std::string& build_id) {
  auto file = ElfFile::open(path);
  return file && file->build_id() == build_id ? std::move(file) : nullptr;
}

std::unique_ptr<ElfFile> open_first(const std::vector<std::string>& candidates, const std::string& build_id) {
  for (const std::string& candidate : candidates)
    if (auto file = open_checked(candidate, build_id)) return file;
  return nullptr;
}

// The vDSO exists only in memory; ours is the recorded one when the kernel is.
std::unique_ptr<ElfFile> own_vdso() {
  const auto* base = reinterpret_cast<const std::uint8_t*>(getauxval(AT_SYSINFO_EHDR));
  if (!base) return nullptr;
  const auto sections = ByteReader({base, 64}, 40).u64();  // e_shoff, behind everything else
  if (sections == 0 || sections > 0x10000) return nullptr;
  const auto entry = ByteReader({base, 64}, 58).u16(), count = ByteReader({base, 64}, 60).u16();
  return ElfFile::from_image({base, static_cast<std::size_t>(sections + entry * count)}, "[vdso]");
}

struct DebugLink {
  std::string name;
  std::uint32_t crc = 0;
};

DebugLink read_debug_link(const ElfFile& module) {
  const ElfSection* section = module.section(".gnu_debuglink");
  if (!section) return {};
  const Bytes bytes = module.data(*section);
  ByteReader reader(bytes);
  DebugLink link{std::string(reader.text()), 0};
  reader.skip((4 - reader.position() % 4) % 4);
  link.crc = reader.u32();
  const bool plain = reader.ok() && !link.name.empty() && link.name.find('/') == std::string::npos;
  return plain ? link : DebugLink{};
}

std::unique_ptr<ElfFile> find_by_link(const ElfFile& module, const std::string& path, const DebugSearch& search) {
  const DebugLink link = read_debug_link(module);
  if (link.name.empty()) return nullptr;
  const std::string home = directory_of(path);
  std::vector<std::string> candidates{home + "/" + link.name, home + "/.debug/" + link.name};
  for (const std::string& directory : search.directories) {
    candidates.push_back(directory + "/" + home + "/" + link.name);
    candidates.push_back(directory + "/" + link.name);
  }
  for (const std::string& candidate : candidates) {
    auto file = ElfFile::open(candidate);
    if (!file || file->build_id() != module.build_id()) continue;
    if (!module.build_id().empty() || debuglink_crc(file->image()) == link.crc) return file;
  }
  return nullptr;
}

}  // namespace

std::uint32_t debuglink_crc(Bytes bytes) {
  static const auto kTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ (value & 1 ? 0xedb88320u : 0);
      table[i] = value;
    }
    return table;
  }();
  std::uint32_t crc = 0xffffffff;
  for (const std::uint8_t byte : bytes) crc = kTable[(crc ^ byte) & 0xff] ^ (crc >> 8);
  return ~crc;
}

std::unique_ptr<ElfFile> find_module_file(const std::string& path, const std::string& build_id, const DebugSearch& search,
                                          bool& refused) {
  auto file = path == "[vdso]" ? own_vdso() : ElfFile::open(path);
  if (file && (build_id.empty() || file->build_id() == build_id)) return file;
  refused = file != nullptr;
  if (build_id.empty()) return nullptr;
  std::vector<std::string> candidates;
  for (const std::string& directory : search.directories) {
    candidates.push_back(directory + "/" + path);
    candidates.push_back(directory + "/" + base_name(path));
  }
  auto copy = open_first(candidates, build_id);
  // A debug file under the module's name has no code to read; find_debug_file takes it.
  return copy && copy->eh_frame_hdr() && !copy->bytes_at(*copy->eh_frame_hdr(), 4).empty() ? std::move(copy) : nullptr;
}

std::unique_ptr<ElfFile> find_debug_file(const ElfFile* module, const std::string& path, const std::string& build_id,
                                         const DebugSearch& search) {
  const std::string& wanted = build_id.empty() && module ? module->build_id() : build_id;
  if (wanted.size() > 2) {
    std::vector<std::string> candidates;
    for (const std::string& directory : search.directories) {
      candidates.push_back(by_build_id(directory, wanted));
      candidates.push_back(directory + "/" + path + ".debug");
      candidates.push_back(directory + "/" + base_name(path) + ".debug");
      candidates.push_back(directory + "/" + base_name(path));
    }
    if (auto file = open_first(candidates, wanted)) return file;
  }
  if (module)
    if (auto file = find_by_link(*module, path, search)) return file;
  return search.use_debuginfod ? fetch_debug_file(wanted) : nullptr;
}

std::unique_ptr<ElfFile> find_alternate_file(const ElfFile& debug, const DebugSearch& search) {
  const ElfSection* section = debug.section(".gnu_debugaltlink");
  if (!section) return nullptr;
  const Bytes bytes = debug.data(*section);
  ByteReader reader(bytes);
  const std::string name(reader.text());
  if (!reader.ok() || name.empty() || reader.remaining() < 4) return nullptr;
  const std::string id = to_hex(bytes.subspan(reader.position(), std::min<std::size_t>(reader.remaining(), 64)));
  std::error_code ignored;
  const std::string home = directory_of(std::filesystem::weakly_canonical(debug.path(), ignored).string());
  std::vector<std::string> candidates{name[0] == '/' ? name : home + "/" + name};
  for (const std::string& directory : search.directories) {
    candidates.push_back(by_build_id(directory, id));
    candidates.push_back(directory + "/.dwz/" + base_name(name));
    candidates.push_back(directory + "/" + base_name(name));
  }
  return open_first(candidates, id);
}

}  // namespace tailback::analyzers
