// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/kernel_locks.h"

#include <fcntl.h>

#include "agent/engine/kernel_file.h"
#include "agent/engine/text.h"

namespace tailback::engine {

namespace sys = capture::sys;

namespace {

// Under the drain lock.
constinit char locks_buffer[64 * 1024];

// "5: FLOCK  ADVISORY  WRITE 1234 fd:00:5678 0 EOF"; who waits for it follows, under the same number: "5: -> FLOCK ..." (proc(5)).
struct LockLine {
  bool waits = false, whole_file = false;
  std::uint64_t pid = 0;
  std::string_view file;
};

LockLine parse(std::string_view line) {
  LockLine lock;
  Scanner words(line);
  words.word();
  std::string_view kind = words.word();
  lock.waits = kind == "->";
  if (lock.waits) kind = words.word();
  lock.whole_file = kind == "FLOCK";
  words.word(), words.word();
  lock.pid = Scanner(words.word()).number();
  lock.file = words.word();
  return lock;
}

// Calls take(owner, waiter) for each process that waits.
template <class Take>
void each_wait(Take&& take) {
  Scanner text(read_kernel_file("/proc/locks", locks_buffer, sizeof locks_buffer));
  LockLine owner;
  while (!text.empty()) {
    const LockLine line = parse(text.line());
    if (!line.waits) owner = line;
    else if (line.whole_file && owner.whole_file) take(owner, line);
  }
}

// The lines of locks in the fdinfo of a descriptor are those of /proc/locks behind "lock:".
template <class Take>
void each_lock_of(int fd, Take&& take) {
  char path[64], buffer[4096];
  Text(path, sizeof path).add("/proc/self/fdinfo/").add_number(static_cast<std::uint64_t>(fd));
  for (Scanner text(read_kernel_file(path, buffer, sizeof buffer)); !text.empty();) {
    std::string_view line = text.line();
    if (!line.starts_with("lock:")) continue;
    line.remove_prefix(5);
    take(parse(line));
  }
}

// Besides the main one there may be the agent's.
bool has_one_thread(std::uint64_t pid) {
  char path[64], buffer[1024];
  Text(path, sizeof path).add("/proc/").add_number(pid).add("/task");
  const long folder = sys::openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (sys::failed(folder)) return false;
  const long got = sys::call(__NR_getdents64, folder, sys::arg(buffer), sizeof buffer);
  sys::close(static_cast<int>(folder));
  bool one = got > 0 && got < 512;  // a long list need not be read
  for (long at = 0; one && at < got;) {
    constexpr long kLength = 16, kName = 19;  // of linux_dirent64
    const std::string_view name(buffer + at + kName);
    at += *reinterpret_cast<const unsigned short*>(buffer + at + kLength);
    if (name[0] == '.' || Scanner(name).number() == pid) continue;
    char comm[32];
    Text(path, sizeof path).add("/proc/").add_number(pid).add("/task/").add(name).add("/comm");
    one = read_kernel_file(path, comm, sizeof comm) == "tailback\n";
  }
  return one;
}

}  // namespace

bool has_file_lock(int fd) {
  bool has = false;
  each_lock_of(fd, [&](const LockLine& line) { has |= line.whole_file; });
  return has;
}

std::uint32_t process_waiting_in_turn(int fd) {
  const auto own = static_cast<std::uint64_t>(sys::getpid());
  std::uint64_t waiter = 0, owner = 0;
  bool clear = true;
  each_lock_of(fd, [&](const LockLine& held) {
    each_wait([&](const LockLine& has, const LockLine& waits) {
      if (has.pid == own && waits.pid != own && has.file == held.file) waiter = waits.pid;
    });
  });
  each_wait([&](const LockLine& has, const LockLine& waits) {
    if (waits.pid != own) return;
    clear &= owner == 0;  // several threads that wait are not told apart
    owner = has.pid;
  });
  return clear && owner != 0 && owner == waiter && has_one_thread(owner) ? static_cast<std::uint32_t>(owner) : 0;
}

}  // namespace tailback::engine
