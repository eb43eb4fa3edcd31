// SPDX-License-Identifier: Apache-2.0
// A service in another process that answers every question after a while, any number of them at a time or one after the other: what a
// pool's tasks wait for.
#pragma once
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <vector>

#include "tests/workloads/measure.h"

namespace workload {

class SlowService {
 public:
  enum Order { together, one_by_one };
  // To be made before the process has threads.
  SlowService(int connections, double seconds, Order order = together) : own_(static_cast<std::size_t>(connections)) {
    std::vector<int> theirs(own_.size());
    for (std::size_t i = 0; i < own_.size(); ++i) {
      int pair[2];
      require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
      own_[i] = pair[0], theirs[i] = pair[1];
    }
    child_ = fork();
    require(child_ >= 0, "fork");
    if (child_ == 0) serve(theirs, seconds, order);
    for (const int fd : theirs) close(fd);
  }
  ~SlowService() {
    for (const int fd : own_) close(fd);
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  SlowService(const SlowService&) = delete;
  SlowService& operator=(const SlowService&) = delete;

  // One question at a time on each connection.
  std::uint64_t ask(int connection, std::uint64_t question) const {
    const int fd = own_[static_cast<std::size_t>(connection)];
    require(write(fd, &question, sizeof question) == sizeof question, "write");
    std::uint64_t answer = 0;
    require(read(fd, &answer, sizeof answer) == sizeof answer, "read");
    return answer;
  }

 private:
  struct Pending {
    std::uint64_t question = 0;
    double due = 0;  // 0: none
  };

  [[noreturn]] static void serve(const std::vector<int>& sockets, double seconds, Order order) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::vector<Pending> pending(sockets.size());
    std::vector<pollfd> waits;
    double free_at = 0;
    for (const int fd : sockets) waits.push_back({fd, POLLIN, 0});
    for (;;) {
      double next = now() + 1;
      for (const Pending& one : pending)
        if (one.due > 0 && one.due < next) next = one.due;
      const double left = next - now();
      const timespec pause{0, left > 0 ? static_cast<long>(left * 1e9) % 1'000'000'000 : 0};
      ppoll(waits.data(), waits.size(), &pause, nullptr);
      for (std::size_t i = 0; i < waits.size(); ++i) {
        if (waits[i].revents && read(sockets[i], &pending[i].question, sizeof pending[i].question) != sizeof pending[i].question) _exit(0);
        if (waits[i].revents) {
          const double begin = order == one_by_one && free_at > now() ? free_at : now();
          free_at = pending[i].due = begin + seconds;
        }
        if (pending[i].due <= 0 || pending[i].due > now()) continue;
        pending[i].due = 0;
        const std::uint64_t answer = mix(pending[i].question);
        if (write(sockets[i], &answer, sizeof answer) != sizeof answer) _exit(0);
      }
    }
  }

  std::vector<int> own_;
  pid_t child_ = 0;
};

}  // namespace workload
