// SPDX-License-Identifier: Apache-2.0
#include "tools/elf_check/program_check.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace tailback::tools {

namespace {

constexpr int kMostInterpreters = 5;         // as the kernel: #! lines that lead to each other
constexpr std::size_t kHashBangBytes = 256;  // what the kernel reads of a #! line

int executable_error(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return errno;
  if (S_ISDIR(status.st_mode)) return EISDIR;
  return ::access(path.c_str(), X_OK) == 0 ? 0 : errno;
}

// The words behind #!, empty when the file does not start with it.
std::vector<std::string> hash_bang(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string line(kHashBangBytes, '\0');
  in.read(line.data(), static_cast<std::streamsize>(line.size()));
  line.resize(static_cast<std::size_t>(in.gcount()));
  if (!line.starts_with("#!")) return {};
  std::istringstream words(line.substr(2, line.find_first_of(std::string("\n\0", 2)) - 2));
  std::vector<std::string> result;
  for (std::string word; words >> word;) result.push_back(word);
  return result;
}

bool is_assignment_or_option(const std::string& word) { return word.starts_with("-") || word.find('=') != std::string::npos; }

// The interpreter of a #! line; `env NAME` is looked through.
std::string interpreter_of(const std::vector<std::string>& words) {
  const std::string name = words[0].substr(words[0].find_last_of('/') + 1);
  if (name != "env") return words[0];
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (is_assignment_or_option(words[i])) continue;
    int error = 0;
    const std::string found = find_program(words[i], error);
    return found.empty() ? words[0] : found;
  }
  return words[0];
}

// Whether the kernel will set AT_SECURE for the image (setuid on a script counts for nothing).
std::string secure_cause(const std::string& image) {
  struct stat status {};
  if (::stat(image.c_str(), &status) != 0) return "";
  if ((status.st_mode & S_ISUID) && status.st_uid != ::getuid()) return fmt::format("it is setuid to uid {}", status.st_uid);
  if ((status.st_mode & S_ISGID) && (status.st_mode & S_IXGRP) && status.st_gid != ::getgid())
    return fmt::format("it is setgid to gid {}", status.st_gid);
  char value[64];
  if (::getuid() != 0 && ::getxattr(image.c_str(), "security.capability", value, sizeof value) > 0)
    return "it has file capabilities";
  return "";
}

std::string musl_library(const ElfFacts& elf) {
  if (elf.interpreter.find("/ld-musl-") != std::string::npos) return elf.interpreter;
  for (const std::string& library : elf.needed)
    if (library.starts_with("libc.musl-")) return library;
  return "";
}

class Judge {
 public:
  explicit Judge(ProgramCheck& check) : check_(check) {}

  void judge() {
    if (!check_.elf.is_elf)
      return cannot("is neither an ELF executable nor a script with a #! line", "give the path of the program itself");
    if (!check_.elf.is_this_machine) return other_machine();
    if (check_.elf.interpreter.empty()) return statically_linked();
    if (const std::string musl = musl_library(check_.elf); !musl.empty())
      return refuses(fmt::format("uses the C library musl ({}); libtailback.so needs glibc", musl),
                     "build it for glibc, or use 'perf record -g'");
    if (check_.elf.interpreter.find("ld-linux") == std::string::npos)
      return refuses(fmt::format("is loaded by {}, which is not glibc's loader", check_.elf.interpreter), "use 'perf record -g'");
    secure();
    sanitizer();
    if (check_.elf.is_go)
      remark("is a Go program: its threads are recorded, goroutines are not told apart, and stacks may end at Go's scheduler",
             "use Go's own net/http/pprof for goroutines");
    if (!check_.elf.allocator.empty())
      remark(fmt::format("contains its own allocator ({}): its allocations are not seen one by one", check_.elf.allocator),
             "CPU time inside the allocator is recorded all the same");
  }

 private:
  void add(const std::string& what, const std::string& remedy) { check_.remarks.push_back({check_.image + " " + what, remedy}); }
  void remark(const std::string& what, const std::string& remedy) { add(what, remedy); }
  void cannot(const std::string& what, const std::string& remedy) {
    check_.drops_preload = true;
    add(what + ": it runs, but nothing of it is recorded", remedy);
  }

  void refuses(const std::string& what, const std::string& remedy) {
    check_.refuses_preload = true;
    cannot(what, remedy);
  }

  void other_machine() {
    const std::string kind = check_.elf.is_64_bit ? check_.elf.machine : "32-bit (" + check_.elf.machine + ")";
    refuses(fmt::format("is a {} program; libtailback.so is for 64-bit programs of this machine", kind),
           "use a build of the program for this machine");
  }

  void statically_linked() {
    if (check_.elf.is_go)
      return cannot("is a Go program without cgo, statically linked: no loader is there to preload anything",
                    "build it with CGO_ENABLED=1 and an import of \"C\", or use 'go tool pprof' or 'perf record -g'");
    cannot("is statically linked: no loader is there to preload anything", "link it dynamically, or use 'perf record -g'");
  }

  void secure() {
    const std::string cause = secure_cause(check_.image);
    if (cause.empty()) return;
    check_.secure_mode = true;
    cannot(fmt::format("runs in secure mode ({}): the loader ignores LD_PRELOAD", cause),
           "record it as the user it runs as (for instance with sudo), or record a copy without these privileges");
  }

  void sanitizer() {
    if (check_.elf.sanitizer.empty()) return;
    remark(fmt::format(
               "is built with {}: its own checks slow it down and show up in the profile, and memory and locks are left to it",
               check_.elf.sanitizer),
           "measure speed with a build without sanitizers");
  }

  ProgramCheck& check_;
};

}  // namespace

std::string find_program(const std::string& name, int& error) {
  error = ENOENT;
  if (name.empty()) return "";
  if (name.find('/') != std::string::npos) {
    error = executable_error(name);
    return error == ENOENT || error == ENOTDIR ? "" : name;
  }
  const char* path = std::getenv("PATH");
  std::istringstream folders(path ? path : "/bin:/usr/bin");
  std::string unusable;
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string candidate = (folder.empty() ? "." : folder) + "/" + name;
    const int cause = executable_error(candidate);
    if (cause == 0) return error = 0, candidate;
    if (unusable.empty() && (cause == EACCES || cause == EISDIR)) unusable = candidate;
  }
  if (!unusable.empty()) error = EACCES;
  return unusable;
}

ProgramCheck check_program(const std::string& program) {
  ProgramCheck check;
  check.found = find_program(program, check.not_executable);
  if (check.found.empty() || check.not_executable) return check;
  check.image = check.found;
  for (int i = 0; i < kMostInterpreters; ++i) {
    const std::vector<std::string> words = hash_bang(check.image);
    if (words.empty()) break;
    check.scripts.push_back(check.image);
    check.image = interpreter_of(words);
  }
  check.elf = read_elf(check.image);
  if (!check.elf.is_elf && check.scripts.empty()) {  // as execvp: a text without #! is a script of the shell
    check.scripts.push_back(check.image);
    check.image = "/bin/sh";
    check.elf = read_elf(check.image);
  }
  Judge(check).judge();
  return check;
}

}  // namespace tailback::tools
