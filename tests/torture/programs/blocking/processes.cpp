// SPDX-License-Identifier: Apache-2.0
// Waiting for children, and for the file locks that a child holds.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "tests/torture/programs/blocking/stage.h"

namespace blocking {
namespace {

// Ends with 3, somewhat more than 50 ms after it did `first`: the one who waits starts later.
pid_t start_child(const std::function<void()>& first = [] {}) {
  int ready[2];
  require(pipe(ready) == 0, "pipe");
  const pid_t child = fork();
  require(child >= 0, "fork");
  if (child == 0) {
    first();
    if (write(ready[1], "x", 1) != 1) _exit(4);
    sleep_ms(kBlockedMs + 5);
    _exit(3);
  }
  char byte;
  require(read(ready[0], &byte, 1) == 1, "read");
  close(ready[0]);
  close(ready[1]);
  return child;
}

bool ended_with_3(int status) { return WIFEXITED(status) && WEXITSTATUS(status) == 3; }

void wait_for_child(Stage& stage, const char* name, const std::function<bool(pid_t)>& call) {
  const pid_t child = start_child();
  stage.block(name, "wait_child", [&] { return call(child); });
}

void children(Stage& stage) {
  wait_for_child(stage, "wait", [](pid_t child) { int status = 0; return wait(&status) == child && ended_with_3(status); });
  wait_for_child(stage, "waitpid", [](pid_t child) { int status = 0; return waitpid(child, &status, 0) == child && ended_with_3(status); });
  wait_for_child(stage, "waitid", [](pid_t child) {
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(child), &info, WEXITED) == 0 && info.si_status == 3;
  });
  wait_for_child(stage, "wait3", [](pid_t child) {
    int status = 0;
    rusage used;
    return wait3(&status, 0, &used) == child && ended_with_3(status);
  });
  wait_for_child(stage, "wait4", [](pid_t child) {
    int status = 0;
    rusage used;
    return wait4(child, &status, 0, &used) == child && ended_with_3(status);
  });
}

void commands(Stage& stage) {
  stage.block("system", "system", [] { return ended_with_3(system("sleep 0.05; exit 3")); });
  FILE* const output = popen("sleep 0.05; exit 3", "r");
  stage.block("pclose", "system|wait_child", [&] { return ended_with_3(pclose(output)); });
}

void file_locks(Stage& stage) {
  const Scratch scratch;
  const std::string path = scratch.path("locked");
  const int file = open(path.c_str(), O_RDWR | O_CREAT, 0600), other = open(path.c_str(), O_RDWR);
  const auto region = [] { struct flock all {}; all.l_type = F_WRLCK; return all; };
  const auto unlock = [&] { struct flock all {}; all.l_type = F_UNLCK; return all; };
  flock(other, LOCK_EX);
  stage.block(
      "flock", "flock", [&] { return flock(file, LOCK_EX) == 0 && flock(file, LOCK_UN) == 0; }, [&](pthread_t) { flock(other, LOCK_UN); });
  struct flock wanted = region();
  require(fcntl(other, F_OFD_SETLK, &wanted) == 0, "F_OFD_SETLK");
  stage.block("fcntl_ofd", "fcntl_lock", [&] { struct flock all = region(); return fcntl(file, F_OFD_SETLKW, &all) == 0; },
              [&](pthread_t) { struct flock all = unlock(); fcntl(other, F_OFD_SETLK, &all); });
  struct flock free_again = unlock();
  fcntl(file, F_OFD_SETLK, &free_again);
  const auto by_child = [&](const char* name, const std::function<bool()>& call) {  // a process is never kept waiting by its own lock
    const pid_t child = start_child([&] { struct flock all = region(); fcntl(file, F_SETLK, &all); });
    stage.block(name, "fcntl_lock", call);
    waitpid(child, nullptr, 0);
  };
  by_child("fcntl", [&] { struct flock all = region(); return fcntl(file, F_SETLKW, &all) == 0; });
  fcntl(file, F_SETLK, &free_again);
  by_child("lockf", [&] { return lockf(file, F_LOCK, 0) == 0; });
  close(other);
  close(file);
}

}  // namespace

void block_on_processes(Stage& stage) {
  children(stage);
  commands(stage);
  file_locks(stage);
}

}  // namespace blocking
