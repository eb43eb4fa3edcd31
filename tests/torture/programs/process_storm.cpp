// SPDX-License-Identifier: Apache-2.0
// Starts ROUNDS processes in each way there is while THREADS threads allocate, and prints how many came back as they should.
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "tests/end_to_end/programs/clocks.h"

namespace {

bool ended_with(pid_t pid, int status) {
  int got = 0;
  return pid > 0 && waitpid(pid, &got, 0) == pid && WIFEXITED(got) && WEXITSTATUS(got) == status;
}

bool by_fork() {
  const pid_t pid = fork();
  if (pid == 0) {
    void* volatile block = std::malloc(1000);
    programs::burn_cpu_until(2000000);
    std::free(block);
    _exit(3);
  }
  return ended_with(pid, 3);
}

bool by_fork_with_threads_in_the_child() {
  const pid_t pid = fork();
  if (pid == 0) {
    std::thread([] { programs::burn_cpu_until(5000000); }).join();
    std::exit(4);
  }
  return ended_with(pid, 4);
}

bool by_vfork() {
  const pid_t pid = vfork();
  if (pid == 0) {
    execl("/bin/sh", "sh", "-c", "exit 5", static_cast<char*>(nullptr));
    _exit(1);
  }
  return ended_with(pid, 5);
}

bool by_raw_fork() {
  const auto pid = static_cast<pid_t>(syscall(SYS_fork));
  if (pid == 0) syscall(SYS_exit_group, 6);
  return ended_with(pid, 6);
}

bool by_spawn() {
  pid_t pid = 0;
  char name[] = "sh", option[] = "-c", script[] = "exit 7";
  char* const arguments[] = {name, option, script, nullptr};
  return posix_spawn(&pid, "/bin/sh", nullptr, nullptr, arguments, environ) == 0 && ended_with(pid, 7);
}

bool by_system() { return WEXITSTATUS(std::system("exit 8")) == 8; }

bool by_popen() {
  std::FILE* out = popen("echo 9; exit 9", "r");
  int number = 0;
  const bool read = out != nullptr && std::fscanf(out, "%d", &number) == 1;
  return read && number == 9 && WEXITSTATUS(pclose(out)) == 9;
}

struct Way {
  const char* name;
  bool (*start)();
};
const Way kWays[] = {{"fork", by_fork},     {"fork and threads", by_fork_with_threads_in_the_child},
                     {"vfork", by_vfork},   {"raw fork", by_raw_fork},
                     {"spawn", by_spawn},   {"system", by_system},
                     {"popen", by_popen}};

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 10;
  const int threads = argc > 2 ? std::atoi(argv[2]) : 4;
  std::atomic<bool> stop{false};
  std::vector<std::thread> workers;
  for (int i = 0; i < threads; ++i) {
    workers.emplace_back([&stop] {
      while (!stop) {
        std::vector<char> block(10000);
        programs::step(static_cast<std::uint64_t>(block[0]));
      }
    });
  }
  for (const Way& way : kWays) {
    int good = 0;
    for (int round = 0; round < rounds; ++round) good += way.start() ? 1 : 0;
    std::printf("%s %d\n", way.name, good);
    std::fflush(stdout);  // a forked child must not print it again
  }
  stop = true;
  for (std::thread& worker : workers) worker.join();
  return 0;
}
