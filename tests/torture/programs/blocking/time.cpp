// SPDX-License-Identifier: Apache-2.0
// Waiting for time, for signals, and for any of several descriptors.
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/timerfd.h>
#include <threads.h>
#include <unistd.h>

#include "tests/torture/programs/blocking/stage.h"

namespace blocking {
namespace {

const timespec kBlocked{0, kBlockedMs * 1'000'000};

void sleeps(Stage& stage) {
  struct sigaction nothing {};
  nothing.sa_handler = [](int) {};
  sigaction(SIGUSR1, &nothing, nullptr);
  stage.block("nanosleep", "sleep", [] { return nanosleep(&kBlocked, nullptr) == 0; });
  stage.block("clock_nanosleep", "sleep", [] {
    const timespec until = in_ms(CLOCK_MONOTONIC, kBlockedMs);
    return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == 0;
  });
  stage.block("usleep", "sleep", [] { return usleep(kBlockedMs * 1000) == 0; });
  stage.block("sleep", "sleep", [] { return sleep(5) >= 4; }, [](pthread_t thread) { pthread_kill(thread, SIGUSR1); });
  stage.block("thrd_sleep", "sleep", [] { return thrd_sleep(&kBlocked, nullptr) == 0; });
}

void signals(Stage& stage) {
  static sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);  // the threads of all later calls inherit this
  const auto send = [](pthread_t thread) { pthread_kill(thread, SIGUSR2); };
  stage.block("sigwait", "sigwait", [] { int number = 0; return sigwait(&set, &number) == 0 && number == SIGUSR2; }, send);
  stage.block(
      "sigwaitinfo", "sigwait",
      [] {
        siginfo_t info;
        return sigwaitinfo(&set, &info) == SIGUSR2 && info.si_pid == getpid();
      },
      send);
  stage.block("sigtimedwait", "sigwait", [] { return sigtimedwait(&set, nullptr, &kBlocked) == -1; });
}

// Half of these are woken by a byte, half by the time.
class Silence {
 public:
  Silence() { require(pipe(ends_) == 0, "pipe"); }
  ~Silence() {
    close(ends_[0]);
    close(ends_[1]);
  }
  int descriptor() const { return ends_[0]; }
  void break_with_byte() { require(write(ends_[1], "x", 1) == 1, "write"); }

 private:
  int ends_[2] = {-1, -1};
};

void polls(Stage& stage) {
  Silence broken, kept;
  pollfd readable{broken.descriptor(), POLLIN, 0}, silent{kept.descriptor(), POLLIN, 0};
  stage.block("poll", "poll", [&] { return poll(&readable, 1, -1) == 1; }, [&](pthread_t) { broken.break_with_byte(); });
  stage.block("ppoll", "poll", [&] { return ppoll(&silent, 1, &kBlocked, nullptr) == 0; });
}

void selects(Stage& stage) {
  Silence broken, kept;
  fd_set readable, silent;
  FD_ZERO(&readable);
  FD_ZERO(&silent);
  FD_SET(broken.descriptor(), &readable);
  FD_SET(kept.descriptor(), &silent);
  stage.block("select", "select", [&] { return select(broken.descriptor() + 1, &readable, nullptr, nullptr, nullptr) == 1; },
              [&](pthread_t) { broken.break_with_byte(); });
  stage.block("pselect", "select", [&] { return pselect(kept.descriptor() + 1, &silent, nullptr, nullptr, &kBlocked, nullptr) == 0; });
}

void epolls(Stage& stage) {
  Silence broken;
  const int set = epoll_create1(0), empty = epoll_create1(0);
  epoll_event wanted{.events = EPOLLIN, .data = {}};
  require(epoll_ctl(set, EPOLL_CTL_ADD, broken.descriptor(), &wanted) == 0, "epoll_ctl");
  stage.block(
      "epoll_wait", "epoll_wait",
      [&] {
        epoll_event event;
        return epoll_wait(set, &event, 1, -1) == 1;
      },
      [&](pthread_t) { broken.break_with_byte(); });
  stage.block("epoll_pwait", "epoll_wait", [&] { epoll_event event; return epoll_pwait(empty, &event, 1, kBlockedMs, nullptr) == 0; });
  stage.block("epoll_pwait2", "epoll_wait", [&] { epoll_event event; return epoll_pwait2(empty, &event, 1, &kBlocked, nullptr) == 0; });
  close(set);
  close(empty);
}

void timers(Stage& stage) {
  const int timer = timerfd_create(CLOCK_MONOTONIC, 0);
  const itimerspec once{{}, kBlocked};
  stage.block("read_timerfd", "read", [&] {
    std::uint64_t count = 0;
    return timerfd_settime(timer, 0, &once, nullptr) == 0 && read(timer, &count, sizeof count) == sizeof count && count == 1;
  });
  close(timer);
}

}  // namespace

void block_on_time(Stage& stage) {
  sleeps(stage);
  signals(stage);
  polls(stage);
  selects(stage);
  epolls(stage);
  timers(stage);
}

}  // namespace blocking
