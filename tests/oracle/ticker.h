// SPDX-License-Identifier: Apache-2.0
// Interrupts the running thread at arbitrary instructions: a signal from a monotonic timer, re-armed by its handler so that
// the work between two signals is always some. One at a time for each signal number.
#pragma once
#include <gtest/gtest.h>
#include <signal.h>
#include <time.h>

#include <cstring>

namespace tailback::oracle {

class Ticker {
 public:
  using Handler = void (*)(int, siginfo_t*, void*);

  Ticker(int signal, Handler handler, long after_ns, int flags = 0) : after_ns_(after_ns), signal_(signal) {
    struct sigaction action;
    std::memset(&action, 0, sizeof action);
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | SA_RESTART | flags;
    EXPECT_EQ(sigaction(signal, &action, &old_), 0);
    sigevent event;
    std::memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = signal;
    EXPECT_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer_), 0);
    arm();
  }

  ~Ticker() {
    timer_delete(timer_);
    sigaction(signal_, &old_, nullptr);
  }

  void arm() {
    phase_ = (phase_ * 1103515245u + 12345u) & 0x7fffffff;
    itimerspec when{};
    when.it_value.tv_nsec = after_ns_ + static_cast<long>(phase_ % 20'000);
    timer_settime(timer_, 0, &when, nullptr);
  }

 private:
  timer_t timer_;
  struct sigaction old_;
  long after_ns_;
  int signal_;
  unsigned phase_ = 1;
};

inline double seconds_now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace tailback::oracle
