// SPDX-License-Identifier: Apache-2.0
// Waits with a time limit in every call that a signal would cut short, each right after using CPU, so that a sampler's signal
// is due at any moment. Prints each call that ended early or with EINTR; nothing but "done" when all slept to their end.
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "tests/end_to_end/programs/clocks.h"

namespace {

constexpr long kWaitNs = 25'000'000;
const timespec kWait{0, kWaitNs};

timespec deadline(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  now.tv_nsec += kWaitNs;
  if (now.tv_nsec >= 1'000'000'000) now.tv_nsec -= 1'000'000'000, ++now.tv_sec;
  return now;
}

timeval as_timeval() { return {0, kWaitNs / 1000}; }

// Descriptors and objects that nobody ever writes to.
struct Silent {
  int pipe_ends[2] = {-1, -1}, sockets[2] = {-1, -1}, epoll = -1, semaphores = -1;
  sem_t semaphore{};
  Silent() {
    if (pipe(pipe_ends) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0) std::exit(1);
    const timeval limit = as_timeval();
    setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    epoll = epoll_create1(0);
    semaphores = semget(IPC_PRIVATE, 1, 0600);
    sem_init(&semaphore, 0, 0);
  }
  ~Silent() { semctl(semaphores, 0, IPC_RMID); }
};

struct Call {
  const char* name;
  long (*wait)(Silent&);
};

const Call kCalls[] = {
    {"nanosleep", [](Silent&) -> long { return nanosleep(&kWait, nullptr); }},
    {"clock_nanosleep", [](Silent&) -> long {
       const timespec until = deadline(CLOCK_MONOTONIC);
       errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
       return errno ? -1 : 0;
     }},
    {"usleep", [](Silent&) -> long { return usleep(kWaitNs / 1000); }},
    {"poll", [](Silent& s) -> long { pollfd one{s.pipe_ends[0], POLLIN, 0}; return poll(&one, 1, kWaitNs / 1000000); }},
    {"ppoll", [](Silent& s) -> long { pollfd one{s.pipe_ends[0], POLLIN, 0}; return ppoll(&one, 1, &kWait, nullptr); }},
    {"select", [](Silent& s) -> long {
       fd_set set;
       FD_ZERO(&set);
       FD_SET(s.pipe_ends[0], &set);
       timeval limit = as_timeval();
       return select(s.pipe_ends[0] + 1, &set, nullptr, nullptr, &limit);
     }},
    {"pselect", [](Silent& s) -> long {
       fd_set set;
       FD_ZERO(&set);
       FD_SET(s.pipe_ends[0], &set);
       sigset_t none;
       sigemptyset(&none);
       return pselect(s.pipe_ends[0] + 1, &set, nullptr, nullptr, &kWait, &none);
     }},
    {"epoll_wait", [](Silent& s) -> long { epoll_event event; return epoll_wait(s.epoll, &event, 1, kWaitNs / 1000000); }},
    {"epoll_pwait", [](Silent& s) -> long {
       sigset_t none;
       sigemptyset(&none);
       epoll_event event;
       return epoll_pwait(s.epoll, &event, 1, kWaitNs / 1000000, &none);
     }},
    {"sem_timedwait", [](Silent& s) -> long { const timespec until = deadline(CLOCK_REALTIME); return sem_timedwait(&s.semaphore, &until); }},
    {"futex", [](Silent&) -> long { int word = 0; return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &kWait, nullptr, 0); }},
    {"recv", [](Silent& s) -> long { char byte; return recv(s.sockets[0], &byte, 1, 0); }},
    {"semtimedop", [](Silent& s) -> long { sembuf take{0, -1, 0}; return semtimedop(s.semaphores, &take, 1, &kWait); }},
    {"sigtimedwait", [](Silent&) -> long {
       sigset_t set;
       sigemptyset(&set);
       sigaddset(&set, SIGUSR1);
       return sigtimedwait(&set, nullptr, &kWait);
     }},
    {"sigtimedwait of all", [](Silent&) -> long {
       sigset_t set;
       sigfillset(&set);
       return sigtimedwait(&set, nullptr, &kWait);
     }},
};

std::atomic<int> failures{0};

void wait_in_all(int rounds, std::uint64_t phase) {
  Silent silent;
  for (int round = 0; round < rounds; ++round) {
    for (const Call& call : kCalls) {
      programs::burn_cpu_until(programs::thread_cpu_ns() + 1'000'000 + (phase = phase * 7919 % 4'000'037));
      const std::uint64_t begin = programs::wall_ns();
      errno = 0;
      const long result = call.wait(silent);
      const int error = errno;
      const std::uint64_t took = programs::wall_ns() - begin;
      // Half a tick of tolerance: clocks of the kernel's own coarse timers.
      if (error == EINTR || result > 0 || took + 2'000'000 < kWaitNs) {
        ++failures;
        std::printf("%s: result %ld, errno %d, after %llu us\n", call.name, result, error, static_cast<unsigned long long>(took / 1000));
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 4;
  const int threads = argc > 2 ? std::atoi(argv[2]) : 4;
  std::vector<std::thread> workers;
  for (int i = 1; i < threads; ++i) workers.emplace_back(wait_in_all, rounds, 1000 + i);
  wait_in_all(rounds, 999);
  for (std::thread& worker : workers) worker.join();
  std::puts("done");
  return failures != 0;
}
