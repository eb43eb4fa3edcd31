// SPDX-License-Identifier: Apache-2.0
// Does what fails or hangs in a process with a thread that it does not know of, named by the argument: "setuid" of all threads,
// a new user "namespace" while it has one thread, or a "sandbox" that allows nothing but to read, write and leave.
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
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
  burn(200);
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

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  return what == "setuid" ? change_user() : what == "namespace" ? new_namespace() : what == "sandbox" ? sandbox() : 2;
}
