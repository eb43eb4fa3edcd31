// SPDX-License-Identifier: Apache-2.0
// Tries out, in a child process of its own, what CPU sampling rests on: that SIGURG is ignored by default, that CPU-clock
// timers never interrupt a sleeping system call, that the kernel tells how long a thread waited for a CPU.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "tools/doctor/check.h"

namespace tailback::tools {

namespace {

constexpr unsigned kLimitSeconds = 5;  // for each self-test
constexpr long kTestedCpuNs = 150'000'000;

struct Outcome {
  int counts[3] = {0, 0, 0};
  bool finished = false;
};

// Runs `body` in a child, so that signals, handlers and affinity of this process stay as they are.
Outcome in_child(void (*body)(int counts[3])) {
  Outcome outcome;
  int pipe_ends[2];
  if (::pipe2(pipe_ends, O_CLOEXEC) != 0) return outcome;
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(kLimitSeconds);
    body(outcome.counts);
    [[maybe_unused]] const ssize_t written = ::write(pipe_ends[1], outcome.counts, sizeof outcome.counts);
    ::_exit(0);
  }
  ::close(pipe_ends[1]);
  if (child > 0) {
    outcome.finished = ::read(pipe_ends[0], outcome.counts, sizeof outcome.counts) == static_cast<ssize_t>(sizeof outcome.counts);
    ::waitpid(child, nullptr, 0);
  }
  ::close(pipe_ends[0]);
  return outcome;
}

void raise_ignored(int counts[3]) {
  ::signal(SIGURG, SIG_DFL);
  counts[0] = ::raise(SIGURG) == 0;
}

volatile sig_atomic_t handler_runs = 0;
void count_run(int) { handler_runs = handler_runs + 1; }

bool start_cpu_timer() {
  struct sigaction action {};
  action.sa_handler = count_run;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGURG, &action, nullptr);
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGURG;
  timer_t timer{};
  if (::timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) != 0) return false;
  itimerspec period{};
  period.it_value.tv_nsec = period.it_interval.tv_nsec = 1'000'000;
  return ::timer_settime(timer, 0, &period, nullptr) == 0;
}

// Polls with a long part in the kernel (many descriptors) while the timer runs; counts interruptions, handler runs, polls.
void poll_under_timer(int counts[3]) {
  if (!start_cpu_timer()) return;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return;
  std::vector<pollfd> many(900, pollfd{ends[0], POLLIN, 0});
  timespec used{};
  for (; used.tv_sec == 0 && used.tv_nsec < kTestedCpuNs; ++counts[2]) {
    const int milliseconds = counts[2] % 64 == 0;  // most return at once, some sleep: both ways into the kernel
    if (::poll(many.data(), many.size(), milliseconds) < 0 && errno == EINTR) ++counts[0];
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  }
  counts[1] = handler_runs;
}

unsigned long long run_delay() {
  unsigned long long run = 0, delay = 0;
  const std::string line = first_line_of("/proc/self/schedstat");
  return std::sscanf(line.c_str(), "%llu %llu", &run, &delay) == 2 ? delay : 0;
}

void spin_for(double seconds) {
  timespec begin{}, now{};
  ::clock_gettime(CLOCK_MONOTONIC, &begin);
  do ::clock_gettime(CLOCK_MONOTONIC, &now);
  while (static_cast<double>(now.tv_sec - begin.tv_sec) + static_cast<double>(now.tv_nsec - begin.tv_nsec) * 1e-9 < seconds);
}

// Two processes on one CPU: both must wait for it.
void compete_for_cpu(int counts[3]) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<unsigned>(::sched_getcpu()), &one);
  ::sched_setaffinity(0, sizeof one, &one);
  const unsigned long long before = run_delay();
  const pid_t rival = ::fork();
  spin_for(0.06);
  if (rival == 0) ::_exit(0);
  counts[0] = run_delay() > before;
  ::waitpid(rival, nullptr, 0);
}

DoctorCheck ignored_signal() {
  const Outcome outcome = in_child(raise_ignored);
  if (outcome.finished && outcome.counts[0])
    return {"sigurg", Verdict::ok, "SIGURG is ignored by default", "a late sample cannot end a program", ""};
  return {"sigurg", Verdict::broken, "SIGURG ended the self-test", "sampling would not be safe here",
          "is a sandbox intercepting signals? run outside of it"};
}

DoctorCheck no_interruptions() {
  const Outcome outcome = in_child(poll_under_timer);
  if (!outcome.finished || outcome.counts[1] == 0)
    return {"cpu_timers", Verdict::broken, "no CPU-clock timer fired in the self-test",
            "no stacks can be sampled; CPU time is still counted", "are timers forbidden by a sandbox or by ulimit -i?"};
  const std::string found =
      fmt::format("{} samples during {} polls, {} interrupted", outcome.counts[1], outcome.counts[2], outcome.counts[0]);
  if (outcome.counts[0] == 0) return {"cpu_timers", Verdict::ok, found, "sampling never interrupts a sleeping system call", ""};
  return {"cpu_timers", Verdict::limited, found,
          "this kernel may interrupt system calls when a sample is due (EINTR); threads that block SIGURG are not sampled",
          "use a kernel with CONFIG_POSIX_CPU_TIMERS_TASK_WORK"};
}

DoctorCheck waiting_for_cpu() {
  const Outcome outcome = in_child(compete_for_cpu);
  if (outcome.finished && outcome.counts[0])
    return {"schedstat", Verdict::ok, "the kernel counts waiting for a CPU (schedstat)", "", ""};
  return {"schedstat", Verdict::limited, "the kernel does not count waiting for a CPU",
          "run-queue delay is estimated from the clocks instead",
          "sudo sysctl kernel.sched_schedstats=1, where the kernel offers it"};
}

}  // namespace

DoctorChecks check_signals() { return {ignored_signal(), no_interruptions(), waiting_for_cpu()}; }

}  // namespace tailback::tools
