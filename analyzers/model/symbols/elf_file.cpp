// SPDX-License-Identifier: Apache-2.0
// Opens and checks ELF files through libelf on a private mapping of our own.
#include "analyzers/model/symbols/elf_file.h"

#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace tailback::analyzers {
namespace {

// The size of a compressed section is only a claim of the file; debug sections shrink to a fifth, seldom further.
constexpr std::uint64_t kMostUncompressed = std::uint64_t{8} << 30;
constexpr std::uint64_t kMostRatio = 256;

}  // namespace

std::string to_hex(Bytes bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::unique_ptr<ElfFile> ElfFile::open(const std::string& path) {
  // O_NONBLOCK: opening a FIFO that someone put there must not wait for a writer.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  return fd < 0 ? nullptr : from_descriptor(fd, path);
}

std::unique_ptr<ElfFile> ElfFile::from_descriptor(int fd, const std::string& name) {
  struct stat status {};
  void* mapped = MAP_FAILED;
  if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0)
    // Writable and private because libelf may convert headers in place.
    mapped = mmap(nullptr, static_cast<std::size_t>(status.st_size), PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  close(fd);
  if (mapped == MAP_FAILED) return nullptr;
  std::unique_ptr<ElfFile> file(new ElfFile);
  file->path_ = name;
  file->image_ = {static_cast<const std::uint8_t*>(mapped), static_cast<std::size_t>(status.st_size)};
  file->mapped_ = true;
  return file->load() ? std::move(file) : nullptr;
}

std::unique_ptr<ElfFile> ElfFile::from_image(Bytes image, const std::string& name) {
  std::unique_ptr<ElfFile> file(new ElfFile);
  file->path_ = name;
  file->copy_.assign(image.begin(), image.end());
  file->image_ = file->copy_;
  return file->load() ? std::move(file) : nullptr;
}

ElfFile::~ElfFile() {
  if (elf_) elf_end(elf_);
  if (mapped_) munmap(const_cast<std::uint8_t*>(image_.data()), image_.size());
}

bool ElfFile::load() {
  elf_version(EV_CURRENT);
  char* bytes = reinterpret_cast<char*>(const_cast<std::uint8_t*>(image_.data()));
  elf_ = elf_memory(bytes, image_.size());
  GElf_Ehdr header;
  if (!elf_ || elf_kind(elf_) != ELF_K_ELF || !gelf_getehdr(elf_, &header)) return false;
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB) return false;
  machine_ = header.e_machine;
  read_segments();
  read_sections();
  const void* id = nullptr;
  const ssize_t length = dwelf_elf_gnu_build_id(elf_, &id);
  if (length > 0 && length <= 64) build_id_ = to_hex({static_cast<const std::uint8_t*>(id), static_cast<std::size_t>(length)});
  return true;
}

void ElfFile::read_segments() {
  std::size_t count = 0;
  if (elf_getphdrnum(elf_, &count) != 0) return;
  count = std::min<std::size_t>(count, 4096);
  for (std::size_t i = 0; i < count; ++i) {
    GElf_Phdr segment;
    if (!gelf_getphdr(elf_, static_cast<int>(i), &segment)) return;
    if (segment.p_type == PT_GNU_EH_FRAME) eh_frame_hdr_ = segment.p_vaddr;
    if (segment.p_type == PT_LOAD)
      segments_.push_back({segment.p_vaddr, segment.p_offset, segment.p_filesz, segment.p_memsz, (segment.p_flags & PF_X) != 0});
  }
}

void ElfFile::read_sections() {
  std::size_t names = 0;
  if (elf_getshdrstrndx(elf_, &names) != 0) return;
  for (Elf_Scn* scn = nullptr; (scn = elf_nextscn(elf_, scn)) && sections_.size() < 100000;) {
    GElf_Shdr header;
    if (!gelf_getshdr(scn, &header)) continue;
    const char* name = elf_strptr(elf_, names, header.sh_name);
    sections_.push_back({name ? name : "", header.sh_type, header.sh_link, header.sh_info, header.sh_flags, header.sh_addr,
                         header.sh_offset, header.sh_size, header.sh_entsize, elf_ndxscn(scn)});
  }
}

const ElfSection* ElfFile::section(std::string_view name) const {
  for (const ElfSection& section : sections_)
    if (section.name == name) return &section;
  return nullptr;
}

const ElfSection* ElfFile::section_of_type(std::uint32_t type) const {
  for (const ElfSection& section : sections_)
    if (section.type == type) return &section;
  return nullptr;
}

bool ElfFile::believable(Elf_Scn* scn) {
  GElf_Shdr header;
  GElf_Chdr compression;
  if (!gelf_getshdr(scn, &header)) return false;
  if (!(header.sh_flags & SHF_COMPRESSED)) return true;
  return gelf_getchdr(scn, &compression) && compression.ch_size <= kMostUncompressed &&
         compression.ch_size / kMostRatio <= header.sh_size;
}

bool ElfFile::sections_believable() const {
  return std::all_of(sections_.begin(), sections_.end(), [&](const ElfSection& section) {
    Elf_Scn* scn = elf_getscn(elf_, section.index);
    return scn && believable(scn);
  });
}

Bytes ElfFile::data(const ElfSection& section) const {
  if (section.type == SHT_NOBITS) return {};
  Elf_Scn* scn = elf_getscn(elf_, section.index);
  if (!scn) return {};
  if (!believable(scn)) return {};
  GElf_Shdr header;
  if (gelf_getshdr(scn, &header) && (header.sh_flags & SHF_COMPRESSED) && elf_compress(scn, 0, 0) < 0) return {};
  const Elf_Data* data = elf_rawdata(scn, nullptr);
  if (!data || !data->d_buf) return {};
  return {static_cast<const std::uint8_t*>(data->d_buf), data->d_size};
}

Bytes ElfFile::bytes_at(std::uint64_t address, std::size_t most) const {
  for (const Segment& segment : segments_) {
    if (address < segment.address || address - segment.address >= segment.file_size) continue;
    const std::uint64_t into = address - segment.address;
    if (segment.offset > image_.size() || into >= image_.size() - segment.offset) continue;
    const std::uint64_t available = std::min(segment.file_size - into, image_.size() - segment.offset - into);
    return image_.subspan(static_cast<std::size_t>(segment.offset + into), std::min<std::uint64_t>(available, most));
  }
  return {};
}

bool ElfFile::executable_at(std::uint64_t address) const {
  return std::any_of(segments_.begin(), segments_.end(), [&](const Segment& segment) {
    return segment.executable && address >= segment.address && address - segment.address < segment.memory_size;
  });
}

}  // namespace tailback::analyzers
