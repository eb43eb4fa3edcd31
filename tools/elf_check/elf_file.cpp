// SPDX-License-Identifier: Apache-2.0
#include "tools/elf_check/elf_file.h"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gelf.h>
#include <unistd.h>

#include <cstring>
#include <string_view>

namespace tailback::tools {

namespace {

#if defined(__x86_64__)
constexpr int kThisMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr int kThisMachine = EM_AARCH64;
#endif

constexpr std::size_t kMostSymbols = 4'000'000;  // of one table: bounds the time on hostile input

std::string machine_name(int machine) {
  switch (machine) {
    case EM_X86_64:
      return "x86-64";
    case EM_386:
      return "i386";
    case EM_AARCH64:
      return "aarch64";
    case EM_ARM:
      return "arm";
    case EM_RISCV:
      return "riscv";
    case EM_PPC64:
      return "ppc64";
    case EM_S390:
      return "s390";
    default:
      return fmt::format("machine {}", machine);
  }
}

class Reader {
 public:
  Reader(Elf* elf, ElfFacts& facts) : elf_(elf), facts_(facts) {}

  void read() {
    GElf_Ehdr header;
    if (!gelf_getehdr(elf_, &header)) return;
    facts_.is_elf = header.e_type == ET_EXEC || header.e_type == ET_DYN;
    facts_.is_64_bit = gelf_getclass(elf_) == ELFCLASS64;
    facts_.is_this_machine = header.e_machine == kThisMachine && facts_.is_64_bit;
    facts_.machine = machine_name(header.e_machine);
    read_segments();
    read_sections();
  }

 private:
  void read_segments() {
    std::size_t count = 0;
    if (elf_getphdrnum(elf_, &count) != 0) return;
    for (std::size_t i = 0; i < count && i < 4096; ++i) {
      GElf_Phdr segment;
      if (!gelf_getphdr(elf_, static_cast<int>(i), &segment)) continue;
      if (segment.p_type == PT_INTERP) read_interpreter(segment);
      if (segment.p_type == PT_NOTE) read_notes(segment);
      if (segment.p_type == PT_GNU_EH_FRAME) facts_.has_unwind_table = true;
    }
  }

  void read_interpreter(const GElf_Phdr& segment) {
    std::size_t size = 0;
    const char* image = elf_rawfile(elf_, &size);
    if (!image || segment.p_offset >= size || segment.p_filesz > size - segment.p_offset) return;
    const char* text = image + segment.p_offset;
    facts_.interpreter.assign(text, ::strnlen(text, segment.p_filesz));
  }

  void read_notes(const GElf_Phdr& segment) {
    Elf_Data* data = elf_getdata_rawchunk(elf_, static_cast<std::int64_t>(segment.p_offset), segment.p_filesz, ELF_T_NHDR);
    if (!data) return;
    GElf_Nhdr note;
    std::size_t name = 0, value = 0;
    for (std::size_t at = 0; (at = gelf_getnote(data, at, &note, &name, &value)) > 0;) {
      const char* base = static_cast<const char*>(data->d_buf);
      const std::string_view owner(base + name, ::strnlen(base + name, note.n_namesz));
      if (owner == "Go") facts_.is_go = true;
      if (owner != "GNU" || note.n_type != NT_GNU_BUILD_ID) continue;
      facts_.build_id.clear();
      for (std::size_t i = 0; i < note.n_descsz; ++i)
        facts_.build_id += fmt::format("{:02x}", static_cast<unsigned char>(base[value + i]));
    }
  }

  void read_sections() {
    std::size_t names = 0;
    if (elf_getshdrstrndx(elf_, &names) != 0) return;
    for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf_, section));) {
      GElf_Shdr header;
      if (!gelf_getshdr(section, &header)) continue;
      const char* text = elf_strptr(elf_, names, header.sh_name);
      const std::string_view name(text ? text : "");
      if (name == ".debug_info" || name == ".zdebug_info") facts_.has_debug_info = header.sh_type != SHT_NOBITS;
      if (name == ".gnu_debuglink") facts_.has_debuglink = true;
      if (name == ".go.buildinfo" || name == ".gopclntab") facts_.is_go = true;
      if (header.sh_type == SHT_SYMTAB) facts_.has_symtab = true;
      if (header.sh_type == SHT_DYNAMIC) read_dynamic(section, header);
      if (header.sh_type == SHT_DYNSYM || header.sh_type == SHT_SYMTAB) read_symbols(section, header);
    }
  }

  void read_dynamic(Elf_Scn* section, const GElf_Shdr& header) {
    Elf_Data* data = elf_getdata(section, nullptr);
    if (!data || header.sh_entsize == 0) return;
    for (std::size_t i = 0; i < data->d_size / header.sh_entsize; ++i) {
      GElf_Dyn entry;
      if (!gelf_getdyn(data, static_cast<int>(i), &entry) || entry.d_tag != DT_NEEDED) continue;
      if (const char* name = elf_strptr(elf_, header.sh_link, entry.d_un.d_val)) add_needed(name);
    }
  }

  void add_needed(std::string_view name) {
    facts_.needed.emplace_back(name);
    if (name.starts_with("libasan.")) facts_.sanitizer = "AddressSanitizer", facts_.needs_libasan = true;
    if (name.starts_with("libtsan.")) facts_.sanitizer = "ThreadSanitizer";
  }

  // Names that give away a run-time library linked into the file.
  void read_symbols(Elf_Scn* section, const GElf_Shdr& header) {
    Elf_Data* data = elf_getdata(section, nullptr);
    if (!data || header.sh_entsize == 0) return;
    const std::size_t count = std::min<std::size_t>(data->d_size / header.sh_entsize, kMostSymbols);
    for (std::size_t i = 0; i < count; ++i) {
      GElf_Sym symbol;
      if (!gelf_getsym(data, static_cast<int>(i), &symbol)) continue;
      const char* text = elf_strptr(elf_, header.sh_link, symbol.st_name);
      if (text && text[0]) look_at_symbol(text, symbol.st_shndx != SHN_UNDEF);
    }
  }

  void look_at_symbol(std::string_view name, bool defined) {
    if (name == "__asan_init") facts_.sanitizer = "AddressSanitizer";
    if (name == "__tsan_init") facts_.sanitizer = "ThreadSanitizer";
    if (name == "__msan_init") facts_.sanitizer = "MemorySanitizer";
    if (!defined) return;
    if (name == "mallctl" || name == "_rjem_mallctl") facts_.allocator = "jemalloc";
    if (name == "mi_malloc") facts_.allocator = "mimalloc";
    if (name == "tc_malloc") facts_.allocator = "tcmalloc";
  }

  Elf* elf_;
  ElfFacts& facts_;
};

}  // namespace

ElfFacts read_elf(const std::string& path) {
  ElfFacts facts;
  elf_version(EV_CURRENT);
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return facts;
  if (Elf* elf = elf_begin(file, ELF_C_READ_MMAP, nullptr)) {
    if (elf_kind(elf) == ELF_K_ELF) Reader(elf, facts).read();
    elf_end(elf);
  }
  ::close(file);
  return facts;
}

}  // namespace tailback::tools
