// SPDX-License-Identifier: Apache-2.0
// cfi_coverage [--at-least PERCENT] FILE...: which share of the code bytes that a file's unwind tables describe has a rule that
// the walker can follow, by kind. Interprets every row of every FDE; runs nothing. Files that are missing are named and left
// out; exit status 1 when a file stays below the wanted share, 2 when no file could be read.
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "agent/capture/cfi.h"
#include "agent/capture/mapped_elf.h"

namespace tailback::oracle {
namespace {

using capture::RuleKind;

constexpr std::array<const char*, 10> kKindNames{"none", "stop", "end", "rsp", "rbp", "rbx", "other", "deref_rsp", "deref_rbp", "sigreturn"};

// A file laid out as the loader would, unrelocated: unwind tables are position-independent.
class LoadedFile {
 public:
  explicit LoadedFile(const char* path) {
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    Elf64_Ehdr header;
    if (pread(file, &header, sizeof header, 0) == sizeof header && std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0) load(file, header);
    close(file);
  }
  ~LoadedFile() {
    if (size_) munmap(reinterpret_cast<void*>(base_), size_);
  }
  LoadedFile(const LoadedFile&) = delete;
  LoadedFile& operator=(const LoadedFile&) = delete;

  bool read(capture::UnwindTable& table) const {
    return size_ && frame_header_ && capture::read_unwind_table(base_, base_ + size_, base_, base_ + frame_header_, table) && table.header;
  }
  std::uint64_t base() const { return base_; }

 private:
  void load(int file, const Elf64_Ehdr& header) {
    std::vector<Elf64_Phdr> headers(header.e_phnum);
    const auto bytes = headers.size() * sizeof headers[0];
    if (pread(file, headers.data(), bytes, static_cast<off_t>(header.e_phoff)) != static_cast<ssize_t>(bytes)) return;
    std::uint64_t high = 0;
    for (const auto& segment : headers) {
      if (segment.p_type == PT_LOAD && segment.p_vaddr + segment.p_memsz > high) high = segment.p_vaddr + segment.p_memsz;
      if (segment.p_type == PT_GNU_EH_FRAME) frame_header_ = segment.p_vaddr;
    }
    void* at = mmap(nullptr, high, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (high == 0 || at == MAP_FAILED) return;
    base_ = reinterpret_cast<std::uint64_t>(at);
    size_ = high;
    for (const auto& segment : headers) {
      if (segment.p_type != PT_LOAD) continue;
      if (pread(file, reinterpret_cast<void*>(base_ + segment.p_vaddr), segment.p_filesz, static_cast<off_t>(segment.p_offset)) < 0) size_ = 0;
    }
  }

  std::uint64_t base_ = 0, size_ = 0, frame_header_ = 0;
};

struct Coverage {
  std::array<std::uint64_t, kKindNames.size()> bytes{};
  std::uint64_t functions = 0, unreadable = 0, rows = 0, total = 0;
  std::uint64_t first_stop = 0;

  std::uint64_t followed() const { return total - bytes[static_cast<unsigned>(RuleKind::stop)] - bytes[static_cast<unsigned>(RuleKind::other)]; }
  double share() const { return total ? 100.0 * static_cast<double>(followed()) / static_cast<double>(total) : 0; }
};

void cover_function(const capture::UnwindTable& table, capture::CfiWorkspace& work, Coverage& coverage) {
  const auto end = work.fde.start + work.fde.size;
  for (auto at = work.fde.start; at < end;) {
    const auto rule = capture::interpret(table, at, work);
    const auto next = work.row_end > at && work.row_end < end ? work.row_end : end;
    coverage.bytes[static_cast<unsigned>(rule.kind())] += next - at;
    if (rule.kind() == RuleKind::stop && !coverage.first_stop) coverage.first_stop = at;
    ++coverage.rows;
    at = next;
  }
  coverage.total += work.fde.size;
}

bool cover_file(const char* path, Coverage& coverage) {
  const LoadedFile file(path);
  capture::UnwindTable table;
  if (!file.read(table)) return false;
  const auto work = std::make_unique<capture::CfiWorkspace>();
  coverage.functions = capture::fde_count(table);
  for (std::uint64_t i = 0; i < coverage.functions; ++i) {
    if (capture::fde_at(table, i, work->fde)) cover_function(table, *work, coverage);
    else ++coverage.unreadable;
  }
  if (coverage.first_stop) coverage.first_stop -= file.base();
  return true;
}

void print(const char* path, const Coverage& coverage) {
  std::printf("%-50s %8.3f %% of %10lu bytes, %7lu functions, %8lu rows, %lu unreadable", path, coverage.share(), coverage.total,
              coverage.functions, coverage.rows, coverage.unreadable);
  for (unsigned kind = 0; kind < kKindNames.size(); ++kind)
    if (coverage.bytes[kind]) std::printf("  %s %.4f", kKindNames[kind], 100.0 * static_cast<double>(coverage.bytes[kind]) / static_cast<double>(coverage.total));
  if (coverage.first_stop) std::printf("  first stop at 0x%lx", coverage.first_stop);
  std::printf("\n");
}

}  // namespace
}  // namespace tailback::oracle

int main(int count, char** arguments) {
  using namespace tailback::oracle;
  double at_least = 0;
  int read = 0, below = 0;
  for (int i = 1; i < count; ++i) {
    if (std::strcmp(arguments[i], "--at-least") == 0 && i + 1 < count) {
      at_least = std::atof(arguments[++i]);
      continue;
    }
    Coverage coverage;
    if (!cover_file(arguments[i], coverage)) {
      std::printf("%-50s not readable, or without unwind tables\n", arguments[i]);
      continue;
    }
    ++read;
    print(arguments[i], coverage);
    below += coverage.share() < at_least || coverage.unreadable > 0;
  }
  return read == 0 ? 2 : below ? 1 : 0;
}
