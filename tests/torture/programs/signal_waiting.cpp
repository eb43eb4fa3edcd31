// SPDX-License-Identifier: Apache-2.0
// Uses SIGURG itself in every way in which a blocked signal can be waited for, while it burns CPU, and hands its mask and its
// ignored signals on to other programs. Prints what does not hold, then "done".
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <thread>

#include "tests/end_to_end/programs/clocks.h"

namespace {

int failures = 0;
void expect(bool holds, const char* what) {
  if (holds) return;
  ++failures;
  std::printf("does not hold: %s\n", what);
}

void burn(std::uint64_t ms) { programs::burn_cpu_until(programs::thread_cpu_ns() + ms * 1'000'000); }
sigset_t only(int number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  return set;
}
const sigset_t kUrgent = only(SIGURG);

std::atomic<int> handled;
void handle(int) { ++handled; }

bool pending() {
  sigset_t set;
  return sigpending(&set) == 0 && sigismember(&set, SIGURG) == 1;
}

// Sends SIGURG to the process from a thread that blocks it as well, after a while.
std::thread send_later(int ms) {
  return std::thread([ms] {
    burn(5);
    usleep(static_cast<useconds_t>(ms) * 1000);
    kill(getpid(), SIGURG);
  });
}

void blocked_and_pending() {
  sigprocmask(SIG_BLOCK, &kUrgent, nullptr);
  expect(!pending(), "nothing is pending at the start");
  for (int round = 0; round < 20; ++round) {
    round % 2 ? static_cast<void>(raise(SIGURG)) : static_cast<void>(kill(getpid(), SIGURG));
    expect(pending(), "what was sent is pending");
    burn(6);
    int number = 0;
    expect(sigwait(&kUrgent, &number) == 0 && number == SIGURG, "sigwait takes what is pending");
    expect(!pending(), "what was taken is not pending");
  }
  const timespec moment{0, 20'000'000};
  siginfo_t info{};
  burn(10);
  expect(sigtimedwait(&kUrgent, &info, &moment) == -1 && errno == EAGAIN, "sigtimedwait runs out of time when nobody sends");
  kill(getpid(), SIGURG);
  expect(sigtimedwait(&kUrgent, &info, &moment) == SIGURG && info.si_code == SI_USER && info.si_pid == getpid(), "the sender is told");
  sigprocmask(SIG_UNBLOCK, &kUrgent, nullptr);
}

void waits_for_others() {
  sigprocmask(SIG_BLOCK, &kUrgent, nullptr);
  sigset_t all;
  sigfillset(&all);
  for (int round = 0; round < 10; ++round) {
    std::thread sender = send_later(round % 3 * 10);
    int number = 0;
    expect(sigwait(round % 2 ? &kUrgent : &all, &number) == 0 && number == SIGURG, "sigwait waits for it");
    sender.join();
    sender = send_later(10);
    siginfo_t info{};
    expect(sigwaitinfo(&all, &info) == SIGURG, "sigwaitinfo waits for it");
    sender.join();
  }
  sigprocmask(SIG_UNBLOCK, &kUrgent, nullptr);
}

// The usual way to wait for a signal without a race: blocked, but for the duration of the wait.
void waits_with_a_mask() {
  signal(SIGURG, handle);
  sigset_t during;
  sigprocmask(SIG_BLOCK, &kUrgent, &during);
  const int epoll = epoll_create1(0);
  epoll_event event{};
  for (int round = 0; round < 20; ++round) {
    handled = 0;
    std::thread sender;
    if (round % 2) sender = send_later(10);
    else kill(getpid(), SIGURG);
    burn(round % 3 * 6);
    while (handled == 0) {
      int result = 0;
      switch (round % 4) {
        case 0: result = sigsuspend(&during); break;
        case 1: result = ppoll(nullptr, 0, nullptr, &during); break;
        case 2: result = pselect(0, nullptr, nullptr, nullptr, nullptr, &during); break;
        case 3: result = epoll_pwait(epoll, &event, 1, -1, &during); break;
      }
      expect(result == -1 && errno == EINTR, "the wait ends by the signal");
    }
    expect(handled == 1, "the signal is handled once");
    if (sender.joinable()) sender.join();
    sigset_t now;
    sigprocmask(SIG_BLOCK, nullptr, &now);
    expect(sigismember(&now, SIGURG) == 1, "it is blocked again after the wait");
  }
  close(epoll);
  sigprocmask(SIG_UNBLOCK, &kUrgent, nullptr);
  signal(SIGURG, SIG_DFL);
}

// What the kernel does when it enters a handler, and when it returns from one into a call that slept.
sigset_t in_handler;
void look(int) {
  ++handled;
  sigprocmask(SIG_BLOCK, nullptr, &in_handler);
}

void rules_of_handlers() {
  struct sigaction action {}, now {};
  action.sa_handler = look;
  action.sa_mask = only(SIGUSR1);
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGURG, &action, nullptr);
  handled = 0;
  raise(SIGURG);
  expect(handled == 1 && sigismember(&in_handler, SIGUSR1) == 1 && sigismember(&in_handler, SIGURG) == 1, "a handler runs with its mask");
  sigaction(SIGURG, nullptr, &now);
  expect(now.sa_handler == SIG_DFL, "a handler for one time is reset");
  sigprocmask(SIG_BLOCK, nullptr, &in_handler);
  expect(sigismember(&in_handler, SIGUSR1) == 0 && sigismember(&in_handler, SIGURG) == 0, "the mask is restored after the handler");
  for (const bool restart : {false, true}) {
    action.sa_flags = restart ? SA_RESTART : 0;
    sigaction(SIGURG, &action, nullptr);
    int ends[2];
    char byte = 0;
    if (pipe(ends) != 0) return;
    const pthread_t self = pthread_self();
    std::thread other([&] {
      sigprocmask(SIG_BLOCK, &kUrgent, nullptr);
      usleep(20'000);
      pthread_kill(self, SIGURG);
      usleep(60'000);
      expect(write(ends[1], "x", 1) == 1, "the pipe takes a byte");
    });
    const ssize_t got = read(ends[0], &byte, 1);
    const int error = errno;
    expect(restart ? got == 1 : got == -1 && error == EINTR, restart ? "a call is restarted" : "a call is interrupted");
    other.join();
    close(ends[0]);
    close(ends[1]);
  }
  signal(SIGURG, SIG_DFL);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
void old_calls() {
  expect(sigset(SIGURG, handle) == SIG_DFL, "sigset tells the disposition");
  expect(sighold(SIGURG) == 0 && sigset(SIGURG, SIG_HOLD) == SIG_HOLD, "sighold blocks");
  handled = 0;
  raise(SIGURG);
  burn(6);
  expect(handled == 0 && pending(), "a held signal waits");
  expect(sigrelse(SIGURG) == 0 && handled == 1, "sigrelse lets it come");
  expect(sigignore(SIGURG) == 0, "sigignore succeeds");
  raise(SIGURG);
  expect(handled == 1, "an ignored signal does not come");
  struct sigaction action {};
  sigaction(SIGURG, nullptr, &action);
  expect(action.sa_handler == SIG_IGN, "ignored reads back");
  signal(SIGURG, SIG_DFL);
}
#pragma GCC diagnostic pop

// As another program: what it was handed on.
int tell_inherited() {
  sigset_t now;
  sigprocmask(SIG_BLOCK, nullptr, &now);
  struct sigaction action {};
  sigaction(SIGURG, nullptr, &action);
  std::printf("inherited: blocked %d, ignored %d, pending %d\n", sigismember(&now, SIGURG), action.sa_handler == SIG_IGN ? 1 : 0, pending() ? 1 : 0);
  return 0;
}

// What another program finds of our mask and our ignored signals.
void inherited() {
  sigprocmask(SIG_BLOCK, &kUrgent, nullptr);
  signal(SIGURG, SIG_IGN);
  char self[] = "/proc/self/exe", option[] = "--inherited";
  char* const arguments[] = {self, option, nullptr};
  std::fflush(stdout);
  for (int way = 0; way < 2; ++way) {
    burn(10);
    const pid_t child = way == 0 ? fork() : vfork();
    if (child == 0) {
      execv(self, arguments);
      _exit(127);
    }
    waitpid(child, nullptr, 0);
  }
  signal(SIGURG, SIG_DFL);
  pid_t child = 0;
  if (posix_spawn(&child, self, nullptr, nullptr, arguments, environ) == 0) waitpid(child, nullptr, 0);
  sigprocmask(SIG_UNBLOCK, &kUrgent, nullptr);
}

// A child that shares our memory until it executes another program tidies up its signals: ours stay as they are.
void tidy_vfork_child() {
  sigprocmask(SIG_BLOCK, &kUrgent, nullptr);
  signal(SIGURG, handle);
  const pid_t child = vfork();
  if (child == 0) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    signal(SIGURG, SIG_DFL);
    _exit(0);
  }
  waitpid(child, nullptr, 0);
  sigset_t now;
  sigprocmask(SIG_BLOCK, nullptr, &now);
  struct sigaction action {};
  sigaction(SIGURG, nullptr, &action);
  expect(sigismember(&now, SIGURG) == 1, "a vfork child's mask is its own");
  expect(action.sa_handler == handle, "a vfork child's handlers are its own");
  sigprocmask(SIG_UNBLOCK, &kUrgent, nullptr);
  signal(SIGURG, SIG_DFL);
}

// Far too small for the signal frame of a machine with wide registers.
void small_alternate_stack() {
  alignas(16) static char stack[4096];
  stack_t own{};
  own.ss_sp = stack;
  own.ss_size = sizeof stack;
  if (sigaltstack(&own, nullptr) != 0) return;
  burn(200);
  own.ss_flags = SS_DISABLE;
  sigaltstack(&own, nullptr);
}

void descriptor() {
  sigprocmask(SIG_BLOCK, &kUrgent, nullptr);
  sigset_t all;
  sigfillset(&all);
  for (const sigset_t* set : {&kUrgent, static_cast<const sigset_t*>(&all)}) {
    const int fd = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);
    pollfd one{fd, POLLIN, 0};
    for (int round = 0; round < 10; ++round) {
      burn(6);
      expect(poll(&one, 1, 0) == 0, "a signalfd is silent when nobody sent");
      std::thread sender = send_later(round % 3 * 5);
      signalfd_siginfo info{};
      expect(poll(&one, 1, 5000) == 1, "a signalfd wakes");
      expect(read(fd, &info, sizeof info) == sizeof info && info.ssi_signo == SIGURG, "a signalfd gives what was sent");
      sender.join();
    }
    close(fd);
  }
  sigprocmask(SIG_UNBLOCK, &kUrgent, nullptr);
}

}  // namespace

int main(int argc, char**) {
  if (argc > 1) return tell_inherited();
  blocked_and_pending();
  waits_for_others();
  waits_with_a_mask();
  rules_of_handlers();
  old_calls();
  inherited();
  tidy_vfork_child();
  small_alternate_stack();
  descriptor();
  std::puts("done");
  return failures != 0;
}
