// SPDX-License-Identifier: Apache-2.0
// Does what fails or hangs in a process with a thread that it does not know of, named by the argument: "setuid" of all threads,
// a new user "namespace" while it has one thread again, a "sandbox" that allows nothing but to read, write and leave, a "filter"
// that kills whoever makes another system call than a few, for all threads at once, or "memory" that is locked.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>

#include "tests/end_to_end/programs/clocks.h"

namespace {

void burn(std::uint64_t ms) { programs::burn_cpu_until(programs::thread_cpu_ns() + ms * 1000000); }

int change_user() {
  std::thread other([] { burn(300); });
  burn(50);
  const uid_t uid = getuid() == 0 ? 65534 : getuid();
  const int result = setuid(uid);
  other.join();
  bool all = true;
  std::thread([&all, uid] { all = getuid() == uid; }).join();
  std::printf("setuid %d all threads %d\n", result, all ? 1 : 0);
  return 0;
}

int new_namespace() {
  std::thread([] { burn(100); }).join();
  burn(100);
  const int result = unshare(CLONE_NEWUSER);
  burn(50);
  std::printf("unshare %d\n", result);
  return 0;
}

int sandbox() {
  burn(100);
  std::thread([] { burn(20); }).join();
  std::printf("entering\n");
  std::fflush(stdout);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) return 1;
  // Strict mode allows no clock_gettime: count instead.
  std::uint64_t value = 1;
  for (int i = 0; i < 2000000; ++i) value = programs::step(value);
  const char text[] = "inside\n";
  if (write(STDOUT_FILENO, text, sizeof text - 1) < 0) return 1;
  syscall(SYS_exit, 0);
  return 1;
}

// Allowed: read, write, exit, exit_group, rt_sigreturn, futex, munmap, madvise, rt_sigprocmask.
int filter() {
  const auto count = [](int steps) {  // no system call: the thread's CPU clock is one
    std::uint64_t value = 1;
    for (int i = 0; i < steps; ++i) value = programs::step(value);
    return value;
  };
  std::thread(count, 2000000000).detach();  // its end would free, for which a thread of its own gets an arena first: not allowed inside
  burn(100);
  sock_filter program[32];
  unsigned short length = 0;
  program[length++] = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
  for (const unsigned number : {SYS_read, SYS_write, SYS_exit, SYS_exit_group, SYS_rt_sigreturn, SYS_futex, SYS_munmap, SYS_madvise, SYS_rt_sigprocmask}) {
    program[length++] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1);
    program[length++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  }
  program[length++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  const sock_fprog rules{length, program};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  std::printf("entering\n");
  std::fflush(stdout);
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &rules) != 0) return 1;
  const std::uint64_t value = count(3000000);
  const char text[] = "inside\n";
  if (write(STDOUT_FILENO, text, sizeof text - 1) < 0) return 1;
  syscall(SYS_exit_group, value == 0 ? 1 : 0);
  return 1;
}

// Kilobytes that are locked afterwards say how much the call made resident: the same order of size with or without an agent.
int memory() {
  std::thread other([] { burn(100); });
  burn(50);
  const int result = mlockall(MCL_CURRENT | MCL_FUTURE);
  burn(50);
  other.join();
  std::ifstream status("/proc/self/status");
  long locked = 0;
  for (std::string word; status >> word;)
    if (word == "VmLck:") status >> locked;
  std::printf("mlockall %d, less than 64 MiB locked: %d\n", result, locked < 65536 ? 1 : 0);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  return what == "setuid" ? change_user() : what == "namespace" ? new_namespace() : what == "sandbox" ? sandbox() : what == "filter" ? filter() : what == "memory" ? memory() : 2;
}
