// SPDX-License-Identifier: Apache-2.0
// Connections, queues, files and their locks, children.
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/torture/programs/interrupted/table.h"

namespace interrupted {

void add_connections(Table& table) {
  static const int listener = socket(AF_UNIX, SOCK_STREAM, 0), limited = socket(AF_UNIX, SOCK_STREAM, 0);
  static sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "interrupted-%d", getpid());
  const auto* const at = reinterpret_cast<const sockaddr*>(&address);
  const timeval limit{0, kLimitMs * 1000};
  programs::require(bind(listener, at, sizeof address) == 0 && listen(listener, 0) == 0 && bind(limited, at, sizeof(sa_family_t)) == 0 &&
                        listen(limited, 0) == 0,
                    "listen");
  setsockopt(limited, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  const auto taken = [](int descriptor) {
    const Outcome seen = outcome(descriptor);
    close(descriptor);
    return Outcome{seen.result < 0 ? -1 : 0, seen.error, {}};
  };
  static int client = -1;
  table.add("accept", [=] { return taken(accept(listener, nullptr, nullptr)); }, [=] {
    client = socket(AF_UNIX, SOCK_STREAM, 0);
    connect(client, at, sizeof address);
    close(client);
  });
  table.add("accept with a limit", [=] { return taken(accept4(limited, nullptr, nullptr, 0)); });
  table.add("connect", [=] {
    const int first = socket(AF_UNIX, SOCK_STREAM, 0), second = socket(AF_UNIX, SOCK_STREAM, 0);
    connect(first, at, sizeof address);
    const Outcome seen = outcome(connect(second, at, sizeof address));
    close(first);
    close(second);
    fcntl(listener, F_SETFL, O_NONBLOCK);
    for (int left_over = accept(listener, nullptr, nullptr); left_over >= 0; left_over = accept(listener, nullptr, nullptr))
      close(left_over);
    fcntl(listener, F_SETFL, 0);
    return seen;
  }, [] { close(accept(listener, nullptr, nullptr)); });
}

// System V's objects outlive the process unless removed.
namespace {
const int queue = msgget(IPC_PRIVATE, 0600), full = msgget(IPC_PRIVATE, 0600), set = semget(IPC_PRIVATE, 1, 0600);
}  // namespace

bool remove_queues() {
  return msgctl(queue, IPC_RMID, nullptr) == 0 && msgctl(full, IPC_RMID, nullptr) == 0 && semctl(set, 0, IPC_RMID) == 0;
}

void add_queues(Table& table) {
  struct Letter {
    long kind = 1;
    char content[512] = {};
  };
  static Letter letter;
  static sembuf take{0, -1, 0}, give{0, 1, 0};
  while (msgsnd(full, &letter, sizeof letter.content, IPC_NOWAIT) == 0) {
  }
  table.add(
      "msgrcv",
      [] {
        Letter got;
        return outcome(msgrcv(queue, &got, sizeof got.content, 0, 0));
      },
      [] { msgsnd(queue, &letter, 1, 0); });
  table.add(
      "msgsnd", [] { return outcome(msgsnd(full, &letter, sizeof letter.content, 0)); },
      [] {
        Letter got;
        msgrcv(full, &got, sizeof got.content, 0, 0);
      });
  table.add("semop", [] { return outcome(semop(set, &take, 1)); }, [] { semop(set, &give, 1); });
  table.add("semtimedop", [] { return outcome(semtimedop(set, &take, 1, &kLimit)); });
  const std::string name = "/interrupted-" + std::to_string(getpid());
  mq_attr attributes{};
  attributes.mq_maxmsg = 1, attributes.mq_msgsize = 16;
  static const mqd_t posix = mq_open(name.c_str(), O_RDWR | O_CREAT, 0600, &attributes);
  mq_unlink(name.c_str());
  static char text[16];
  table.add("mq_timedreceive", [] {
    const timespec until = in_ms(CLOCK_REALTIME, kLimitMs);
    return outcome(mq_timedreceive(posix, text, sizeof text, nullptr, &until));
  });
  table.add("mq_receive", [] { return outcome(mq_receive(posix, text, sizeof text, nullptr)); }, [] { mq_send(posix, "x", 1, 0); });
}

void add_files(Table& table, const programs::Scratch& scratch) {
  static std::string locked, fifo;
  locked = scratch.path("locked"), fifo = scratch.path("fifo");
  mkfifo(fifo.c_str(), 0600);
  static const int file = open(locked.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600), other = open(locked.c_str(), O_RDWR | O_CLOEXEC);
  const auto region = [](short kind) { struct flock all {}; all.l_type = kind; return all; };
  table.add("flock", [] {
    flock(other, LOCK_EX);
    const Outcome seen = outcome(flock(file, LOCK_EX));
    flock(file, LOCK_UN);
    flock(other, LOCK_UN);
    return seen;
  }, [] { flock(other, LOCK_UN); });
  table.add("fcntl", [=] {
    struct flock all = region(F_WRLCK), none = region(F_UNLCK);
    fcntl(other, F_OFD_SETLK, &all);
    const Outcome seen = outcome(fcntl(file, F_OFD_SETLKW, &all));
    fcntl(file, F_OFD_SETLK, &none);
    fcntl(other, F_OFD_SETLK, &none);
    return seen;
  }, [=] { struct flock none = region(F_UNLCK); fcntl(other, F_OFD_SETLK, &none); });
  table.add("open of a fifo", [] {
    const int opened = open(fifo.c_str(), O_RDONLY);
    const Outcome seen{opened < 0 ? -1 : 0, opened < 0 ? errno : 0, {}};
    close(opened);
    return seen;
  }, [] { close(open(fifo.c_str(), O_WRONLY | O_NONBLOCK)); });
}

void add_children(Table& table) {
  const auto child = [] {
    const pid_t pid = fork();
    if (pid == 0) {
      programs::sleep_ms(kLimitMs);
      _exit(3);
    }
    return pid;
  };
  const auto after = [=](Outcome (*wait)(pid_t)) {
    return [=] {
      const pid_t pid = child();
      Outcome seen = wait(pid);
      if (seen.result > 0) seen.result = 1;
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
      return seen;
    };
  };
  table.add("waitpid", after([](pid_t pid) {
              int status = 0;
              const pid_t got = waitpid(pid, &status, 0);
              return outcome(got, std::to_string(status));
            }));
  table.add("wait4", after([](pid_t pid) {
              int status = 0;
              const pid_t got = wait4(pid, &status, 0, nullptr);
              return outcome(got, std::to_string(status));
            }));
  table.add("waitid", after([](pid_t pid) {
              siginfo_t info{};
              const int got = waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED);
              return outcome(got, std::to_string(info.si_status));
            }));
}

}  // namespace interrupted
