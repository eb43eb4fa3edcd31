// SPDX-License-Identifier: Apache-2.0
// guest_calls fork|thread|exec COUNT: does it so often and prints nanoseconds of wall time for each, as "each_ns N".
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/end_to_end/programs/clocks.h"

namespace {

bool fork_once() {
  const pid_t pid = fork();
  if (pid == 0) _exit(0);
  return pid > 0 && waitpid(pid, nullptr, 0) == pid;
}

void* nothing(void*) { return nullptr; }

bool thread_once() {
  pthread_t thread;
  return pthread_create(&thread, nullptr, nothing, nullptr) == 0 && pthread_join(thread, nullptr) == 0;
}

bool exec_once() {
  pid_t pid = 0;
  char name[] = "true";
  char* const arguments[] = {name, nullptr};
  return posix_spawn(&pid, "/bin/true", nullptr, nullptr, arguments, environ) == 0 && waitpid(pid, nullptr, 0) == pid;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 2 ? argv[1] : "";
  const int count = argc > 2 ? std::atoi(argv[2]) : 0;
  bool (*const once)() = what == "fork" ? fork_once : what == "thread" ? thread_once : what == "exec" ? exec_once : nullptr;
  if (!once || count < 1) return 2;
  bool good = true;
  for (int i = 0; i < count / 10 + 1; ++i) good = once() && good;
  const auto began = programs::wall_ns();
  for (int i = 0; i < count; ++i) good = once() && good;
  std::printf("each_ns %llu\n", static_cast<unsigned long long>((programs::wall_ns() - began) / static_cast<unsigned>(count)));
  return good ? 0 : 1;
}
