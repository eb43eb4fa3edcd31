// SPDX-License-Identifier: Apache-2.0
// A signal of the program's own arrives in each call that waits, with and without SA_RESTART: prints what the call returned, errno,
// what is left of the time, and how much was moved. Who must not return is ended a little later. No times: two runs print the same.
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <threads.h>

#include <functional>
#include <thread>
#include <vector>

#include "tests/torture/programs/ends.h"
#include "tests/torture/programs/waiting.h"

namespace {

using programs::Ends;
using programs::in_ms;

constexpr long kEndMs = 40, kLimitMs = 150;
const timespec kLimit{0, kLimitMs * 1'000'000};

std::atomic<int> handled{0};

// What came of a call, in words that are the same at each run.
struct Outcome {
  long result;
  int error;        // errno, or the error that was returned
  std::string more; // what else it changed
};

Outcome outcome(long result, std::string more = {}) { return {result, result < 0 ? errno : 0, std::move(more)}; }
Outcome returned(int error, std::string more = {}) { return {error ? -1 : 0, error, std::move(more)}; }

// The signal comes within the first half, a busy machine apart.
std::string left(const timespec& time) {
  const long ms = time.tv_sec * 1000 + time.tv_nsec / 1'000'000;
  return ms == 0 ? "nothing left" : ms > kLimitMs / 2 && ms < kLimitMs ? "most left" : ms == kLimitMs ? "all left" : "some left";
}

struct Cell {
  const char* name;
  std::function<Outcome()> call;
  std::function<void()> end, prepare;
};

class Table {
 public:
  void add(const char* name, std::function<Outcome()> call, std::function<void()> end = {}, std::function<void()> prepare = {}) {
    cells_.push_back({name, std::move(call), std::move(end), std::move(prepare)});
  }
  void run(int flags) const {
    struct sigaction action {};
    action.sa_handler = [](int) { ++handled; };
    action.sa_flags = flags;
    sigaction(SIGUSR1, &action, nullptr);
    for (const Cell& cell : cells_) run(cell, flags);
  }

 private:
  static void run(const Cell& cell, int flags) {
    handled = 0;
    std::atomic<pid_t> begun{0};
    std::atomic<bool> over{false};
    Outcome seen{};
    if (cell.prepare) cell.prepare();
    std::thread thread([&] {
      begun = gettid();
      seen = cell.call();
      over = true;
    });
    while (!begun) programs::sleep_ms(1);
    programs::await_waiting(begun);
    pthread_kill(thread.native_handle(), SIGUSR1);
    programs::sleep_ms(kEndMs);
    if (cell.end && !over) cell.end();
    thread.join();
    std::printf("%s%s: %ld%s%s, handled %d%s%s\n", cell.name, flags & SA_RESTART ? " restarting" : "", seen.result, seen.error ? " " : "",
                seen.error ? strerrorname_np(seen.error) : "", handled.load(), seen.more.empty() ? "" : ", ", seen.more.c_str());
  }

  std::vector<Cell> cells_;
};

void sleeps(Table& table) {
  table.add("nanosleep", [] { timespec rest{}; const int result = nanosleep(&kLimit, &rest); return outcome(result, left(rest)); });
  table.add("clock_nanosleep", [] { timespec rest{}; const int error = clock_nanosleep(CLOCK_MONOTONIC, 0, &kLimit, &rest); return returned(error, left(rest)); });
  table.add("clock_nanosleep until", [] { const timespec until = in_ms(CLOCK_REALTIME, kLimitMs); return returned(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, nullptr)); });
  table.add("usleep", [] { return outcome(usleep(kLimitMs * 1000)); });
  table.add("sleep", [] { return outcome(sleep(1)); });
  table.add("sleep longer", [] { return outcome(sleep(7)); });
  table.add("thrd_sleep", [] { timespec rest{}; const int result = thrd_sleep(&kLimit, &rest); return Outcome{result, 0, left(rest)}; });
  table.add("pause", [] { return outcome(pause()); });
  table.add("sigsuspend", [] { sigset_t none; sigemptyset(&none); return outcome(sigsuspend(&none)); });
}

void multiplexers(Table& table) {
  static const Ends silent = Ends::of_pipe();
  static const int nothing = epoll_create1(0);
  table.add("poll", [] { pollfd one{silent.reader, POLLIN, 0}; return outcome(poll(&one, 1, kLimitMs)); });
  table.add("ppoll", [] { pollfd one{silent.reader, POLLIN, 0}; timespec limit = kLimit; const int result = ppoll(&one, 1, &limit, nullptr); return outcome(result, left(limit)); });
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
  table.add("epoll_pwait", [] { epoll_event event; sigset_t none; sigemptyset(&none); return outcome(epoll_pwait(nothing, &event, 1, kLimitMs, &none)); });
  table.add("epoll_pwait2", [] { epoll_event event; return outcome(epoll_pwait2(nothing, &event, 1, &kLimit, nullptr)); });
}

void signals(Table& table) {
  static sigset_t others;
  sigemptyset(&others);
  sigaddset(&others, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &others, nullptr);
  table.add("sigtimedwait", [] { return outcome(sigtimedwait(&others, nullptr, &kLimit)); });
  table.add("sigwaitinfo", [] { return outcome(sigwaitinfo(&others, nullptr)); }, [] { kill(getpid(), SIGUSR2); });
  table.add("sigwait", [] { int number = 0; const int error = sigwait(&others, &number); return returned(error, number == SIGUSR2 ? "SIGUSR2" : "?"); }, [] { kill(getpid(), SIGUSR2); });
}

void locks(Table& table) {
  static sem_t semaphore;
  static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER, own = PTHREAD_MUTEX_INITIALIZER;
  static pthread_rwlock_t written = PTHREAD_RWLOCK_INITIALIZER;
  static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  static pthread_barrier_t barrier;
  static std::atomic<int> word{0};
  sem_init(&semaphore, 0, 0);
  pthread_mutex_lock(&held);
  pthread_rwlock_wrlock(&written);
  pthread_barrier_init(&barrier, nullptr, 2);
  const auto timed = [&](const char* name, clockid_t clock, int (*wait)(const timespec*), bool by_errno) {
    table.add(name, [=] {
      const timespec until = in_ms(clock, kLimitMs);
      const int result = wait(&until);
      return by_errno ? outcome(result) : returned(result);
    });
  };
  table.add("sem_wait", [] { return outcome(sem_wait(&semaphore)); }, [] { sem_post(&semaphore); });
  timed("sem_timedwait", CLOCK_REALTIME, [](const timespec* until) { return sem_timedwait(&semaphore, until); }, true);
  timed("sem_clockwait", CLOCK_MONOTONIC, [](const timespec* until) { return sem_clockwait(&semaphore, CLOCK_MONOTONIC, until); }, true);
  timed("pthread_mutex_timedlock", CLOCK_REALTIME, [](const timespec* until) { return pthread_mutex_timedlock(&held, until); }, false);
  timed("pthread_mutex_clocklock", CLOCK_MONOTONIC, [](const timespec* until) { return pthread_mutex_clocklock(&held, CLOCK_MONOTONIC, until); }, false);
  timed("pthread_rwlock_timedrdlock", CLOCK_REALTIME, [](const timespec* until) { return pthread_rwlock_timedrdlock(&written, until); }, false);
  timed("pthread_rwlock_clockwrlock", CLOCK_MONOTONIC, [](const timespec* until) { return pthread_rwlock_clockwrlock(&written, CLOCK_MONOTONIC, until); }, false);
  const auto with_own = [](int (*wait)(const timespec*), const timespec* until) {
    pthread_mutex_lock(&own);
    const int result = wait(until);
    pthread_mutex_unlock(&own);
    return result;
  };
  table.add("pthread_cond_timedwait", [=] {
    const timespec until = in_ms(CLOCK_REALTIME, kLimitMs);
    return returned(with_own([](const timespec* at) { return pthread_cond_timedwait(&condition, &own, at); }, &until));
  });
  table.add("pthread_cond_clockwait", [=] {
    const timespec until = in_ms(CLOCK_MONOTONIC, kLimitMs);
    return returned(with_own([](const timespec* at) { return pthread_cond_clockwait(&condition, &own, CLOCK_MONOTONIC, at); }, &until));
  });
  table.add("pthread_barrier_wait", [] { const int result = pthread_barrier_wait(&barrier); return returned(result == PTHREAD_BARRIER_SERIAL_THREAD ? 0 : result); },
            [] { pthread_barrier_wait(&barrier); });
  table.add("futex", [] { word = 0; return outcome(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0)); },
            [] { syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0); });
  table.add("futex with a limit", [] { word = 0; return outcome(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &kLimit, nullptr, 0)); });
  table.add("futex until", [] {
    const timespec until = in_ms(CLOCK_MONOTONIC, kLimitMs);
    return outcome(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, &until, nullptr, FUTEX_BITSET_MATCH_ANY));
  });
}

void inputs(Table& table) {
  static const Ends pipes = Ends::of_pipe(), sockets = Ends::of_sockets(), limited = Ends::of_sockets();
  static char text[64];
  static iovec part{text, 1};
  static msghdr message{nullptr, 0, &part, 1, nullptr, 0, 0};
  static mmsghdr messages{message, 0};
  const timeval limit{0, kLimitMs * 1000};
  setsockopt(limited.reader, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  const auto give = [](const Ends& ends) { return [&ends] { ends.give("x", 1); }; };
  table.add("read", [] { return outcome(read(pipes.reader, text, 1)); }, give(pipes));
  table.add("readv", [] { return outcome(readv(pipes.reader, &part, 1)); }, give(pipes));
  table.add("recv", [] { return outcome(recv(sockets.reader, text, 1, 0)); }, give(sockets));
  table.add("recvmsg", [] { return outcome(recvmsg(sockets.reader, &message, 0)); }, give(sockets));
  table.add("recvmmsg", [] { return outcome(recvmmsg(sockets.reader, &messages, 1, 0, nullptr)); }, give(sockets));
  table.add("recv with a limit", [] { return outcome(recv(limited.reader, text, 1, 0)); });
  table.add("read with a limit", [] { return outcome(read(limited.reader, text, 1)); });
  table.add("recv of what is not all there", [] { sockets.give("four", 4); return outcome(recv(sockets.reader, text, 10, MSG_WAITALL)); });
  table.add("splice", [] {
    const Ends out = Ends::of_pipe();
    const Outcome seen = outcome(splice(pipes.reader, nullptr, out.writer, nullptr, 1, 0));
    out.close_both();
    return seen;
  }, give(pipes));
  static const int events = eventfd(0, 0);
  table.add("read of an eventfd", [] { eventfd_t count = 0; return outcome(read(events, &count, sizeof count)); }, [] { eventfd_write(events, 1); });
  table.add("fgets", [] {
    FILE* const stream = fdopen(dup(pipes.reader), "r");
    errno = 0;
    const bool got = fgets(text, sizeof text, stream) != nullptr;
    const Outcome seen{got, errno, ferror(stream) ? "error" : std::to_string(strlen(text)) + " bytes"};
    fclose(stream);
    return seen;
  }, [] { pipes.give("1\n", 2); });
}

// A little more than fits: what has gone by then is the result.
void outputs(Table& table) {
  static const Ends pipes = Ends::of_pipe(), sockets = Ends::of_sockets();
  static std::vector<char> block(4'000'000);
  const auto part_of = [](long result) { return Outcome{result > 0 ? 1 : result, result < 0 ? errno : 0, result > 0 && result < 4'000'000 ? "a part" : ""}; };
  const std::function<void()> fill_pipe = [] { pipes.fill(); }, drain_pipe = [] { pipes.drain(); };
  const std::function<void()> fill_sockets = [] { sockets.fill(); }, drain_sockets = [] { sockets.drain(); };
  table.add("write", [] { return outcome(write(pipes.writer, "x", 1)); }, drain_pipe, fill_pipe);
  table.add("write of much", [=] { return part_of(write(pipes.writer, block.data(), block.size())); }, {}, drain_pipe);
  table.add("writev of much", [=] { const iovec part{block.data(), block.size()}; return part_of(writev(pipes.writer, &part, 1)); }, {}, drain_pipe);
  table.add("send", [] { return outcome(send(sockets.writer, "x", 1, 0)); }, drain_sockets, fill_sockets);
  table.add("send of much", [=] { return part_of(send(sockets.writer, block.data(), block.size(), 0)); }, {}, drain_sockets);
  table.add("fwrite", [] {
    FILE* const stream = fdopen(dup(pipes.writer), "w");
    setvbuf(stream, nullptr, _IONBF, 0);
    errno = 0;
    const std::size_t count = fwrite("xy", 1, 2, stream);
    const Outcome seen{static_cast<long>(count), errno, ferror(stream) ? "error" : ""};
    fclose(stream);
    return seen;
  }, drain_pipe, fill_pipe);
}

void connections(Table& table) {
  static const int listener = socket(AF_UNIX, SOCK_STREAM, 0), limited = socket(AF_UNIX, SOCK_STREAM, 0);
  static sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "interrupted-%d", getpid());
  const auto* const at = reinterpret_cast<const sockaddr*>(&address);
  const timeval limit{0, kLimitMs * 1000};
  programs::require(bind(listener, at, sizeof address) == 0 && listen(listener, 0) == 0 && bind(limited, at, sizeof(sa_family_t)) == 0 && listen(limited, 0) == 0, "listen");
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
    for (int left_over = accept(listener, nullptr, nullptr); left_over >= 0; left_over = accept(listener, nullptr, nullptr)) close(left_over);
    fcntl(listener, F_SETFL, 0);
    return seen;
  }, [] { close(accept(listener, nullptr, nullptr)); });
}

// System V's objects outlive the process unless removed.
const int queue = msgget(IPC_PRIVATE, 0600), full = msgget(IPC_PRIVATE, 0600), set = semget(IPC_PRIVATE, 1, 0600);

bool remove_queues() { return msgctl(queue, IPC_RMID, nullptr) == 0 && msgctl(full, IPC_RMID, nullptr) == 0 && semctl(set, 0, IPC_RMID) == 0; }

void queues(Table& table) {
  struct Letter {
    long kind = 1;
    char content[512] = {};
  };
  static Letter letter;
  static sembuf take{0, -1, 0}, give{0, 1, 0};
  while (msgsnd(full, &letter, sizeof letter.content, IPC_NOWAIT) == 0) {
  }
  table.add("msgrcv", [] { Letter got; return outcome(msgrcv(queue, &got, sizeof got.content, 0, 0)); }, [] { msgsnd(queue, &letter, 1, 0); });
  table.add("msgsnd", [] { return outcome(msgsnd(full, &letter, sizeof letter.content, 0)); }, [] { Letter got; msgrcv(full, &got, sizeof got.content, 0, 0); });
  table.add("semop", [] { return outcome(semop(set, &take, 1)); }, [] { semop(set, &give, 1); });
  table.add("semtimedop", [] { return outcome(semtimedop(set, &take, 1, &kLimit)); });
  const std::string name = "/interrupted-" + std::to_string(getpid());
  mq_attr attributes{};
  attributes.mq_maxmsg = 1, attributes.mq_msgsize = 16;
  static const mqd_t posix = mq_open(name.c_str(), O_RDWR | O_CREAT, 0600, &attributes);
  mq_unlink(name.c_str());
  static char text[16];
  table.add("mq_timedreceive", [] { const timespec until = in_ms(CLOCK_REALTIME, kLimitMs); return outcome(mq_timedreceive(posix, text, sizeof text, nullptr, &until)); });
  table.add("mq_receive", [] { return outcome(mq_receive(posix, text, sizeof text, nullptr)); }, [] { mq_send(posix, "x", 1, 0); });
}

void files(Table& table, const programs::Scratch& scratch) {
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

void children(Table& table) {
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
  table.add("waitpid", after([](pid_t pid) { int status = 0; const pid_t got = waitpid(pid, &status, 0); return outcome(got, std::to_string(status)); }));
  table.add("wait4", after([](pid_t pid) { int status = 0; const pid_t got = wait4(pid, &status, 0, nullptr); return outcome(got, std::to_string(status)); }));
  table.add("waitid", after([](pid_t pid) { siginfo_t info{}; const int got = waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED); return outcome(got, std::to_string(info.si_status)); }));
}

}  // namespace

int main() {
  alarm(100);  // nothing here may wait for ever
  const programs::Scratch scratch;
  Table table;
  signals(table);  // first: it blocks a signal
  sleeps(table);
  multiplexers(table);
  locks(table);
  inputs(table);
  outputs(table);
  connections(table);
  files(table, scratch);
  children(table);
  queues(table);
  table.run(0);
  table.run(SA_RESTART);
  return remove_queues() ? 0 : 1;
}
