// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/exec_image.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cstring>
#include <string_view>

#include "agent/capture/syscalls.h"
#include "agent/engine/text.h"

namespace tailback::engine {

namespace sys = capture::sys;

namespace {

constexpr std::string_view kPreload = "LD_PRELOAD=", kRootPid = "TAILBACK_ROOT_PID=", kLibrary = "libtailback.so";
constexpr int kMostInterpreters = 5;      // as the kernel
constexpr std::size_t kHashBangBytes = 256;
constexpr std::size_t kRootPidBytes = 48;

// A file and its first bytes, which hold all of the headers as a rule.
class OpenFile {
 public:
  OpenFile(int dir, const char* path) : fd_(sys::openat(dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (opened()) got_ = read_from(head_, sizeof head_, 0);
  }
  ~OpenFile() {
    if (opened()) sys::close(static_cast<int>(fd_));
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  bool opened() const { return !sys::failed(fd_); }
  std::string_view head() const { return {head_, got_}; }
  std::size_t read(void* buffer, std::size_t size, std::uint64_t offset) const {
    if (offset > got_ || size > got_ - offset) return read_from(buffer, size, offset);
    std::memcpy(buffer, head_ + offset, size);
    return size;
  }
  // The loader will run in secure mode, which ignores the library with a message of its own.
  bool changes_rights() const {
    struct stat status {};
    if (sys::failed(sys::call(__NR_fstat, fd_, sys::arg(&status)))) return false;
    const auto uid = static_cast<uid_t>(sys::call(__NR_getuid));
    if ((status.st_mode & S_ISUID) && status.st_uid != uid) return true;
    if ((status.st_mode & S_ISGID) && (status.st_mode & S_IXGRP) && status.st_gid != static_cast<gid_t>(sys::call(__NR_getgid))) return true;
    char value[32];
    return uid != 0 && !sys::failed(sys::call(__NR_fgetxattr, fd_, sys::arg("security.capability"), sys::arg(value), sizeof value));
  }

 private:
  std::size_t read_from(void* buffer, std::size_t size, std::uint64_t offset) const {
    const long got = sys::call(__NR_pread64, fd_, sys::arg(buffer), static_cast<long>(size), static_cast<long>(offset));
    return sys::failed(got) ? 0 : static_cast<std::size_t>(got);
  }

  long fd_;
  std::size_t got_ = 0;
  char head_[896];
};

class ElfImage {
 public:
  ElfImage(const OpenFile& file, const Elf64_Ehdr& header) : file_(file), header_(header) {}

  // Which loader the file asks for: only glibc's for this machine takes the library; without one there is nothing to refuse.
  ImageKind kind() const {
    if (header_.e_ident[EI_CLASS] != ELFCLASS64 || header_.e_machine != EM_X86_64) return ImageKind::refuses_library;
    if (header_.e_phentsize != sizeof(Elf64_Phdr)) return ImageKind::unknown;
    Elf64_Phdr segment;
    if (!find(segment, [](const Elf64_Phdr& one) { return one.p_type == PT_INTERP; })) return ImageKind::takes_library;
    char loader[64];
    const std::size_t size = file_.read(loader, segment.p_filesz < sizeof loader ? segment.p_filesz : sizeof loader, segment.p_offset);
    if (std::string_view(loader, size).find("/ld-linux") == std::string_view::npos) return ImageKind::refuses_library;
    return needs("libasan.so") ? ImageKind::refuses_library : ImageKind::takes_library;  // which insists on coming first
  }

 private:
  template <class Wanted>
  bool find(Elf64_Phdr& segment, Wanted&& wanted) const {
    for (unsigned i = 0; i < header_.e_phnum; ++i)
      if (file_.read(&segment, sizeof segment, header_.e_phoff + i * sizeof segment) == sizeof segment && wanted(segment)) return true;
    return false;
  }

  // Calls visit(entry) for the entries of the dynamic section, in pieces that fit onto a small stack.
  template <class Visit>
  void each_dynamic(Visit&& visit) const {
    Elf64_Phdr segment;
    if (!find(segment, [](const Elf64_Phdr& one) { return one.p_type == PT_DYNAMIC; })) return;
    Elf64_Dyn entries[32];  // nearly always all of them
    for (std::uint64_t at = 0; at < segment.p_filesz && at < kMostDynamicBytes; at += sizeof entries) {
      const std::size_t got = file_.read(entries, sizeof entries, segment.p_offset + at) / sizeof entries[0];
      for (std::size_t i = 0; i < got; ++i) {
        if (entries[i].d_tag == DT_NULL) return;
        visit(entries[i]);
      }
    }
  }

  // Whether a library whose name begins like this is needed.
  bool needs(std::string_view name) const {
    std::uint64_t strings = 0, names[kMostNeeded];
    unsigned count = 0;
    each_dynamic([&](const Elf64_Dyn& entry) {
      if (entry.d_tag == DT_STRTAB) strings = entry.d_un.d_ptr;
      if (entry.d_tag == DT_NEEDED && count < kMostNeeded) names[count++] = entry.d_un.d_val;
    });
    Elf64_Phdr segment;
    if (!find(segment, [&](const Elf64_Phdr& one) { return one.p_type == PT_LOAD && strings >= one.p_vaddr && strings < one.p_vaddr + one.p_filesz; })) return false;
    for (unsigned i = 0; i < count; ++i) {
      char needed[16];
      const std::size_t got = file_.read(needed, name.size(), strings - segment.p_vaddr + segment.p_offset + names[i]);
      if (std::string_view(needed, got) == name) return true;
    }
    return false;
  }

  static constexpr std::uint64_t kMostDynamicBytes = 4096;
  static constexpr unsigned kMostNeeded = 32;  // the one looked for is among the first: it insists on coming first
  const OpenFile& file_;
  const Elf64_Ehdr& header_;
};

// The path behind "#!"; false when there is none or it is too long.
bool interpreter(std::string_view head, char* path, std::size_t size) {
  Text text(path, size);
  std::size_t at = 2;
  while (at < head.size() && (head[at] == ' ' || head[at] == '\t')) ++at;
  for (; at < head.size() && head[at] != ' ' && head[at] != '\t' && head[at] != '\n' && head[at] != 0; ++at) text.add_char(head[at]);
  return !text.view().empty() && !text.overflowed();
}

// Whether a word of the list in LD_PRELOAD, separated by colons or blanks, is the library.
bool is_library(std::string_view word) { return word == kLibrary || (word.ends_with(kLibrary) && word[word.size() - kLibrary.size() - 1] == '/'); }

// Whether the loader will find it: after a change of user or root it may not, and would say so on stderr.
bool is_reachable(std::string_view word) {
  char path[512];
  Text text(path, sizeof path);
  text.add(word);
  constexpr long kReadable = 4;
  return word.find('/') == std::string_view::npos || text.overflowed() ||
         !sys::failed(sys::call(__NR_faccessat, AT_FDCWD, sys::arg(path), kReadable));
}

// Calls visit(word) for each.
template <class Visit>
void each_word(const char* list, Visit&& visit) {
  while (*list) {
    const std::size_t length = std::strcspn(list, ": ");
    if (length) visit(std::string_view(list, length));
    list += length;
    list += *list != 0;
  }
}

}  // namespace

ImageKind image_kind(int dir, const char* path) {
  char script_path[kHashBangBytes];
  for (int i = 0; i < kMostInterpreters; ++i) {
    const OpenFile file(dir, path);
    const std::string_view head = file.head();
    if (head.starts_with("#!")) {
      if (!interpreter(head, script_path, sizeof script_path)) return ImageKind::unknown;
      path = script_path;
      continue;
    }
    if (head.size() < sizeof(Elf64_Ehdr) || !head.starts_with(ELFMAG)) return ImageKind::unknown;
    if (file.changes_rights()) return ImageKind::refuses_library;
    Elf64_Ehdr header;
    std::memcpy(&header, head.data(), sizeof header);
    return ElfImage(file, header).kind();
  }
  return ImageKind::unknown;
}

ImageKind image_kind_of(int fd) {
  char path[32];
  Text text(path, sizeof path);
  text.add("/proc/self/fd/").add_number(static_cast<std::uint64_t>(fd < 0 ? 0 : fd));
  return fd < 0 ? ImageKind::unknown : image_kind(AT_FDCWD, path);
}

ImageKind image_kind_in_path(const char* file, char* const* environment) {
  if (std::strchr(file, '/')) return image_kind(AT_FDCWD, file);
  const char* folders = "/bin:/usr/bin";
  for (char* const* at = environment; at && *at; ++at)
    if (std::strncmp(*at, "PATH=", 5) == 0) folders = *at + 5;
  char path[1024];
  for (;;) {
    const std::size_t length = std::strcspn(folders, ":");
    Text text(path, sizeof path);
    text.add(std::string_view(folders, length)).add(length ? "/" : "").add(file);
    if (!text.overflowed() && !sys::failed(sys::call(__NR_faccessat, AT_FDCWD, sys::arg(path), 1 /* X_OK */))) return image_kind(AT_FDCWD, path);
    if (folders[length] == 0) return ImageKind::unknown;
    folders += length + 1;
  }
}

ExecEnvironment::ExecEnvironment(char* const* environment) : environment_(environment) {
  for (; environment && environment[count_]; ++count_) {
    const char* entry = environment[count_];
    if (std::strncmp(entry, kRootPid.data(), kRootPid.size()) == 0) has_root_pid_ = true;
    if (std::strncmp(entry, kPreload.data(), kPreload.size()) != 0) continue;
    each_word(entry + kPreload.size(), [&](std::string_view word) {
      if (is_library(word)) preload_ = entry, reachable_ = is_reachable(word);
    });
  }
}

std::size_t ExecEnvironment::plan(ImageKind kind, std::uint64_t root_pid) {
  if (!has_library()) return 0;
  drop_library_ = kind == ImageKind::refuses_library || !reachable_;
  add_root_pid_ = has_root_pid_ ? 0 : root_pid;
  if (!drop_library_ && !add_root_pid_) return 0;
  return (count_ + 2) * sizeof(char*) + std::strlen(preload_) + 1 + kRootPidBytes;
}

char* const* ExecEnvironment::build(void* memory) const {
  auto** out = static_cast<char**>(memory);
  auto* texts = static_cast<char*>(memory) + (count_ + 2) * sizeof(char*);
  Text preload(texts + kRootPidBytes, std::strlen(preload_) + 1), root(texts, kRootPidBytes);
  std::size_t filled = 0;
  for (std::size_t i = 0; i < count_; ++i) {
    if (environment_[i] != preload_ || !drop_library_) {
      out[filled++] = environment_[i];
      continue;
    }
    bool others = false;
    preload.add(kPreload);
    each_word(preload_ + kPreload.size(), [&](std::string_view word) {
      if (is_library(word)) return;
      preload.add(others ? ":" : "").add(word);
      others = true;
    });
    if (others) out[filled++] = texts + kRootPidBytes;
  }
  if (add_root_pid_) {
    root.add(kRootPid).add_number(add_root_pid_);
    out[filled++] = texts;
  }
  out[filled] = nullptr;
  return out;
}

}  // namespace tailback::engine
