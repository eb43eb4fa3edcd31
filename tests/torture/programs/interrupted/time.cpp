// SPDX-License-Identifier: Apache-2.0
// Waiting for time, for signals, for any of several descriptors.
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <threads.h>
#include <unistd.h>

#include "tests/torture/programs/ends.h"
#include "tests/torture/programs/interrupted/table.h"

namespace interrupted {

using programs::Ends;

void add_sleeps(Table& table) {
  table.add("nanosleep", [] { timespec rest{}; const int result = nanosleep(&kLimit, &rest); return outcome(result, left(rest)); });
  table.add("clock_nanosleep", [] {
    timespec rest{};
    const int error = clock_nanosleep(CLOCK_MONOTONIC, 0, &kLimit, &rest);
    return returned(error, left(rest));
  });
  table.add("clock_nanosleep until", [] {
    const timespec until = in_ms(CLOCK_REALTIME, kLimitMs);
    return returned(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, nullptr));
  });
  table.add("usleep", [] { return outcome(usleep(kLimitMs * 1000)); });
  table.add("sleep", [] { return outcome(sleep(1)); });
  table.add("sleep longer", [] { return outcome(sleep(7)); });
  table.add("thrd_sleep", [] { timespec rest{}; const int result = thrd_sleep(&kLimit, &rest); return Outcome{result, 0, left(rest)}; });
  table.add("pause", [] { return outcome(pause()); });
  table.add("sigsuspend", [] { sigset_t none; sigemptyset(&none); return outcome(sigsuspend(&none)); });
}

void add_multiplexers(Table& table) {
  static const Ends silent = Ends::of_pipe();
  static const int nothing = epoll_create1(0);
  table.add("poll", [] { pollfd one{silent.reader, POLLIN, 0}; return outcome(poll(&one, 1, kLimitMs)); });
  table.add("ppoll", [] {
    pollfd one{silent.reader, POLLIN, 0};
    timespec limit = kLimit;
    const int result = ppoll(&one, 1, &limit, nullptr);
    return outcome(result, left(limit));
  });
  table.add("select", [] {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(silent.reader, &set);
    timeval limit{0, kLimitMs * 1000};
    const int result = select(silent.reader + 1, &set, nullptr, nullptr, &limit);
    return outcome(result, left({limit.tv_sec, limit.tv_usec * 1000}));
  });
  table.add("pselect", [] {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(silent.reader, &set);
    timespec limit = kLimit;
    const int result = pselect(silent.reader + 1, &set, nullptr, nullptr, &limit, nullptr);
    return outcome(result, left(limit));
  });
  table.add("epoll_wait", [] { epoll_event event; return outcome(epoll_wait(nothing, &event, 1, kLimitMs)); });
  table.add("epoll_pwait", [] {
    epoll_event event;
    sigset_t none;
    sigemptyset(&none);
    return outcome(epoll_pwait(nothing, &event, 1, kLimitMs, &none));
  });
  table.add("epoll_pwait2", [] { epoll_event event; return outcome(epoll_pwait2(nothing, &event, 1, &kLimit, nullptr)); });
}

void add_signals(Table& table) {
  static sigset_t others;
  sigemptyset(&others);
  sigaddset(&others, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &others, nullptr);
  table.add("sigtimedwait", [] { return outcome(sigtimedwait(&others, nullptr, &kLimit)); });
  table.add("sigwaitinfo", [] { return outcome(sigwaitinfo(&others, nullptr)); }, [] { kill(getpid(), SIGUSR2); });
  table.add(
      "sigwait",
      [] {
        int number = 0;
        const int error = sigwait(&others, &number);
        return returned(error, number == SIGUSR2 ? "SIGUSR2" : "?");
      },
      [] { kill(getpid(), SIGUSR2); });
}

}  // namespace interrupted
