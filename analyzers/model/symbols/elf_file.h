// SPDX-License-Identifier: Apache-2.0
// One ELF file (64 bit, little endian) mapped read-only: build id, sections, segments, the libelf handle. Any bytes are
// accepted as input: what does not fit is reported as absent. Never follows anything the file says to other files.
// Threading: an ElfFile is used by one thread at a time (libelf loads section data lazily).
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "analyzers/model/symbols/byte_reader.h"

struct Elf;
struct Elf_Scn;

namespace tailback::analyzers {

struct ElfSection {
  std::string name;
  std::uint32_t type = 0, link = 0, info = 0;
  std::uint64_t flags = 0, address = 0, offset = 0, size = 0, entry_size = 0;
  std::size_t index = 0;
};

class ElfFile {
 public:
  // Null when there is no such regular file or it is no usable ELF; never blocks on FIFOs or devices.
  static std::unique_ptr<ElfFile> open(const std::string& path);
  // An image in memory (the vDSO), copied.
  static std::unique_ptr<ElfFile> from_image(Bytes image, const std::string& name);
  // Takes ownership of the descriptor (debuginfod hands one out).
  static std::unique_ptr<ElfFile> from_descriptor(int fd, const std::string& name);
  ~ElfFile();
  ElfFile(const ElfFile&) = delete;
  ElfFile& operator=(const ElfFile&) = delete;

  const std::string& path() const { return path_; }
  const std::string& build_id() const { return build_id_; }  // lower-case hex, empty when there is none
  Elf* elf() const { return elf_; }
  unsigned machine() const { return machine_; }
  const std::vector<ElfSection>& sections() const { return sections_; }
  const ElfSection* section(std::string_view name) const;
  const ElfSection* section_of_type(std::uint32_t type) const;
  // Contents, decompressed where compressed; empty for NOBITS.
  Bytes data(const ElfSection& section) const;
  // No compressed section claims a size that cannot be true. Ask before handing the file to a library that decompresses.
  bool sections_believable() const;
  // File bytes behind a virtual address of a loadable segment, at most `most` of them.
  Bytes bytes_at(std::uint64_t address, std::size_t most) const;
  bool executable_at(std::uint64_t address) const;
  // Virtual address of the unwind look-up table (PT_GNU_EH_FRAME).
  std::optional<std::uint64_t> eh_frame_hdr() const { return eh_frame_hdr_; }
  // The whole file.
  Bytes image() const { return image_; }

 private:
  struct Segment {
    std::uint64_t address, offset, file_size, memory_size;
    bool executable;
  };
  ElfFile() = default;
  bool load();
  static bool believable(Elf_Scn* scn);
  void read_segments();
  void read_sections();

  std::string path_, build_id_;
  Bytes image_;
  std::vector<std::uint8_t> copy_;  // owner of image_ unless it is mapped
  bool mapped_ = false;
  Elf* elf_ = nullptr;
  unsigned machine_ = 0;
  std::vector<Segment> segments_;
  std::vector<ElfSection> sections_;
  std::optional<std::uint64_t> eh_frame_hdr_;
};

// Bytes as lower-case hex.
std::string to_hex(Bytes bytes);

}  // namespace tailback::analyzers
