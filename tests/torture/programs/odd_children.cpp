// SPDX-License-Identifier: Apache-2.0
// Children as servers and runtimes make them, named by the argument: one whose "title" was written over the environment, one forked
// by a thread ("thread"), whose main thread then ends like a thread, and a "worker" that gives up root and its view of the files.
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "tests/end_to_end/programs/clocks.h"

namespace {

void burn(std::uint64_t ms) { programs::burn_cpu_until(programs::thread_cpu_ns() + ms * 1000000); }

int status_of(pid_t child) {
  int status = 0;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// As nginx, postgres, sshd: the strings of argv and environ lie one behind the other; the copy is for libc.
void write_title(char** argv, const char* title) {
  char* end = argv[0];
  for (char** at = argv; *at; ++at) end = *at + std::strlen(*at);
  int count = 0;
  for (char** at = environ; *at; ++at, ++count)
    if (*at > end) end = *at + std::strlen(*at);
  auto** copy = static_cast<char**>(std::calloc(static_cast<std::size_t>(count) + 1, sizeof(char*)));
  for (int i = 0; i < count; ++i) copy[i] = strdup(environ[i]);
  environ = copy;
  std::memset(argv[0], 0, static_cast<std::size_t>(end - argv[0]));
  std::snprintf(argv[0], static_cast<std::size_t>(end - argv[0]), "%s", title);
}

int titled(char** argv) {
  const pid_t child = fork();
  if (child == 0) {
    write_title(argv, "odd: worker /x/../y %p %e process");
    burn(200);
    std::exit(5);
  }
  std::printf("child %d\n", status_of(child));
  return 0;
}

void* fork_and_wait(void*) {
  const pid_t child = fork();
  if (child == 0) {
    std::thread([] { burn(150); }).detach();
    burn(100);
    return nullptr;  // the last thread of the child ends it, with status 0
  }
  std::printf("child %d\n", status_of(child));
  return nullptr;
}

int in_thread() {
  for (int i = 0; i < 4; ++i) {
    pthread_t thread;
    pthread_create(&thread, nullptr, fork_and_wait, nullptr);
    pthread_join(thread, nullptr);
  }
  return 0;
}

int worker() {
  const pid_t child = fork();
  if (child == 0) {
    if (getuid() == 0 && (chroot("/proc/self/fdinfo") != 0 || chdir("/") != 0 || setgid(65534) != 0 || setuid(65534) != 0)) std::exit(6);
    burn(300);
    std::exit(getuid() == 0 ? 7 : 5);
  }
  std::printf("child %d\n", status_of(child));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  return what == "title" ? titled(argv) : what == "thread" ? in_thread() : what == "worker" ? worker() : 2;
}
