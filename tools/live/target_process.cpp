// SPDX-License-Identifier: Apache-2.0
#include "tools/live/target_process.h"

#include <elf.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "tools/command.h"
#include "tools/live/proc_files.h"

namespace tailback::tools {

namespace {

std::string status_of(pid_t pid) { return file_text(fmt::format("/proc/{}/status", pid)); }

// What can be read of an executable that may be: its class, 0 when not even that.
int elf_class(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/exe", pid), std::ios::binary);
  unsigned char ident[EI_NIDENT] = {};
  file.read(reinterpret_cast<char*>(ident), sizeof ident);
  return file && std::memcmp(ident, ELFMAG, SELFMAG) == 0 ? ident[EI_CLASS] : 0;
}

std::string first_word(const std::string& text) { return text.substr(0, text.find_first_of(" \t")); }

}  // namespace

void check_is_looked_at(pid_t pid) {
  const std::string status = status_of(pid);
  if (status.empty())
    throw Failure(
        kFailed, fmt::format("there is no process {}; 'ps -e' lists those there are", pid));
  if (const std::string group = status_field(status, "Tgid"); group != std::to_string(pid))
    throw Failure(kFailed, fmt::format("{} is a thread of process {}; try: tailback stacks {}", pid, group, group));
  const std::string name = status_field(status, "Name");
  if (status_field(status, "State").starts_with("Z") && task_ids(pid).size() < 2)
    throw Failure(
        kFailed,
        fmt::format(
            "process {} ({}) has ended and only waits for its parent, process {}, to take note; it has no stacks any more", pid,
            name, status_field(status, "PPid")));
  if (status_field(status, "VmSize").empty() && task_ids(pid).size() < 2)
    throw Failure(
        kFailed,
        fmt::format("process {} ({}) is a thread of the kernel and has no stack of a program; as root: cat /proc/{}/stack", pid,
                    name, pid));
  if (elf_class(pid) == ELFCLASS32)
    throw Failure(
        kFailed,
        fmt::format(
            "process {} ({}) is a 32-bit program, which is not supported; try: gdb -p {} -batch -ex 'thread apply all backtrace'",
            pid, name, pid));
}

void throw_refused(pid_t pid, int error) {
  const std::string status = status_of(pid);
  const std::string name = status_field(status, "Name");
  if (error == ESRCH || status.empty()) throw Failure(kFailed, fmt::format("process {} ended before it could be looked at", pid));
  if (const std::string tracer = status_field(status, "TracerPid"); !tracer.empty() && tracer != "0")
    throw Failure(kFailed,
                  fmt::format("process {} ({}) is traced already, by process {} ({}); only one can; end that one, then try again",
                              pid, name, tracer, command_of(std::atoi(tracer.c_str()))));
  const std::string owner = first_word(status_field(status, "Uid"));
  if (::geteuid() != 0 && owner != std::to_string(::geteuid()))
    throw Failure(kFailed, fmt::format("process {} ({}) belongs to user {}, not to you; try: sudo tailback stacks {}", pid, name,
                                       owner, pid));
  const std::string scope = first_word(file_text("/proc/sys/kernel/yama/ptrace_scope"));
  if (!scope.empty() && scope[0] != '0')
    throw Failure(kFailed,
                  fmt::format("process {} ({}) may not be looked at: /proc/sys/kernel/yama/ptrace_scope is {}, so only a "
                              "parent{} may; try: sudo tailback "
                              "stacks {}, or, until the next start of the machine: sudo sysctl kernel.yama.ptrace_scope=0",
                              pid, name, scope[0], scope[0] == '1' ? " or root" : "", pid));
  throw Failure(kFailed, fmt::format("process {} ({}) may not be looked at: {}; it has more rights than you, or a sandbox "
                                     "forbids ptrace; try: sudo tailback stacks {}",
                                     pid, name, std::strerror(error), pid));
}

std::string file_root(const std::string& folder) {
  const bool same_mounts = link_target(folder + "/ns/mnt") == link_target("/proc/self/ns/mnt");
  return same_mounts && link_target(folder + "/root") == link_target("/proc/self/root") ? "" : folder + "/root";
}

}  // namespace tailback::tools
