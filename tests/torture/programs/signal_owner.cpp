// SPDX-License-Identifier: Apache-2.0
// Uses every signal as its own while it burns CPU: handlers, masks, dispositions, sigwait, signalfd, small signal stacks. The
// system must answer as if nobody else used signals; prints what does not hold, then "done".
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "tests/end_to_end/programs/clocks.h"

namespace {

int failures = 0;
void expect(bool holds, const char* what, int number) {
  if (holds) return;
  ++failures;
  std::printf("does not hold: %s (signal %d)\n", what, number);
}

bool usable(int number) { return number != SIGKILL && number != SIGSTOP && (number < 32 || number > 33); }
void burn(std::uint64_t ms) { programs::burn_cpu_until(programs::thread_cpu_ns() + ms * 1'000'000); }

std::atomic<int> received[65];
void count(int number) { ++received[number]; }
void count_info(int number, siginfo_t* info, void*) { received[number] += info->si_code == SI_TKILL || info->si_code == SI_USER ? 1 : 1000; }

void dispositions() {
  for (int number = 1; number <= 64; ++number) {
    if (!usable(number)) continue;
    struct sigaction old {};
    expect(sigaction(number, nullptr, &old) == 0 && (old.sa_handler == SIG_DFL || number == SIGPIPE || number == SIGINT || number == SIGQUIT),
           "default at the start", number);
    struct sigaction own {};
    own.sa_sigaction = count_info;
    own.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&own.sa_mask);
    sigaddset(&own.sa_mask, SIGUSR2);
    expect(sigaction(number, &own, nullptr) == 0, "sigaction succeeds", number);
    expect(sigaction(number, nullptr, &old) == 0 && old.sa_sigaction == count_info, "the handler is read back", number);
    expect((old.sa_flags & (SA_SIGINFO | SA_NODEFER | SA_ONSTACK | SA_RESTART)) == (SA_SIGINFO | SA_NODEFER), "the flags are read back", number);
    for (int other = 1; other <= 64; ++other) {
      if (usable(other)) expect(sigismember(&old.sa_mask, other) == (other == SIGUSR2), "the mask is read back", other);
    }
    burn(1);
    raise(number);
    expect(received[number] == 1, "a signal sent arrives once, and no other does", number);
    expect(signal(number, SIG_IGN) != SIG_ERR, "signal succeeds", number);
    expect(signal(number, SIG_DFL) == SIG_IGN, "signal gives the old disposition", number);
  }
}

void masks() {
  sigset_t all, old, none;
  sigfillset(&all);
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, &old);
  for (int number = 1; number <= 64; ++number) {
    if (usable(number)) expect(sigismember(&old, number) == 0, "nothing is blocked at the start", number);
  }
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  pthread_sigmask(SIG_BLOCK, nullptr, &old);
  for (int number = 1; number <= 64; ++number) {
    if (usable(number)) expect(sigismember(&old, number) == 1, "what was blocked reads as blocked", number);
  }
  burn(20);
  sigset_t pending;
  sigpending(&pending);
  for (int number = 1; number <= 64; ++number) {
    if (usable(number)) expect(sigismember(&pending, number) == 0, "nothing is pending that nobody sent", number);
  }
  std::thread([] {
    sigset_t inherited;
    pthread_sigmask(SIG_BLOCK, nullptr, &inherited);
    for (int number = 1; number <= 64; ++number) {
      if (usable(number)) expect(sigismember(&inherited, number) == 1, "a thread inherits the mask", number);
    }
  }).join();
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

void held_back_until_unblocked(int number) {
  received[number] = 0;
  signal(number, count);
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, number);
  pthread_sigmask(SIG_BLOCK, &one, nullptr);
  raise(number);
  burn(10);
  expect(received[number] == 0, "a blocked signal waits", number);
  pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  expect(received[number] == 1, "an unblocked signal comes", number);
  signal(number, SIG_DFL);
}

// A server that blocks everything and takes signals one by one: it must see those sent, and only those.
void waiting_server() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  std::atomic<int> taken{0};  // of two signals pending at once one is lost
  std::thread server([&all, &taken] {
    for (int left = 20; left > 0; --left) {
      burn(6);
      int number = 0;
      expect(sigwait(&all, &number) == 0 && number == SIGUSR1, "sigwait gives what was sent", number);
      ++taken;
    }
  });
  for (int i = 0; i < 20; ++i) {
    burn(8);
    while (taken < i) sched_yield();
    pthread_kill(server.native_handle(), SIGUSR1);
  }
  server.join();
}

void signal_descriptor() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  const int descriptor = signalfd(-1, &all, SFD_NONBLOCK | SFD_CLOEXEC);
  for (int i = 0; i < 20; ++i) {
    burn(6);
    pollfd one{descriptor, POLLIN, 0};
    signalfd_siginfo info{};
    expect(poll(&one, 1, 0) == 0, "a signalfd is silent when nobody sent", 0);
    expect(read(descriptor, &info, sizeof info) == -1 && errno == EAGAIN, "nothing to read from a silent signalfd", static_cast<int>(info.ssi_signo));
    raise(SIGUSR2);
    expect(poll(&one, 1, 1000) == 1 && read(descriptor, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR2, "a signalfd gives what was sent",
           static_cast<int>(info.ssi_signo));
  }
  close(descriptor);
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

void spin_in_handler(int) { burn(60); }

// The kernel's own signal frame can be larger than an old program's signal stack: nothing may be delivered on top of it.
void small_signal_stack() {
  alignas(16) static char stack[16384];
  stack_t own{};
  own.ss_sp = stack;
  own.ss_size = sizeof stack;
  sigaltstack(&own, nullptr);
  struct sigaction action {};
  action.sa_handler = spin_in_handler;
  action.sa_flags = SA_ONSTACK;
  sigaction(SIGUSR1, &action, nullptr);
  raise(SIGUSR1);
  own.ss_flags = SS_DISABLE;
  sigaltstack(&own, nullptr);
}

}  // namespace

int main() {
  dispositions();
  masks();
  for (const int number : {SIGURG, SIGUSR1, SIGPROF, SIGWINCH, SIGCHLD, SIGRTMIN + 1}) held_back_until_unblocked(number);
  small_signal_stack();
  waiting_server();
  signal_descriptor();
  for (int number = 1; number <= 64; ++number) {  // what daemons do first
    if (usable(number)) signal(number, SIG_DFL);
  }
  burn(100);
  std::puts("done");
  return failures != 0;
}
