// SPDX-License-Identifier: Apache-2.0
// Cancels threads in each call that the standards make a cancellation point: while it waits, with deferred and asynchronous
// cancellation; and before it is called, when it must not even begin. Prints whether the thread was cancelled, its cleanup handlers
// and destructors ran, and what it held is free; the number of threads must be the old one at the end.
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <string_view>
#include <vector>

#include "tests/torture/programs/ends.h"
#include "tests/torture/programs/waiting.h"

namespace {

using programs::Ends;
using programs::in_ms;
using programs::require;

enum class How { deferred, asynchronous, pending };
constexpr const char* kNames[] = {"deferred", "asynchronous", "pending"};
constexpr long kFarMs = 8000;  // so long that a thread which is not cancelled is noticed

struct Cell {
  const char* name;
  std::function<void()> call;
  std::function<const char*()> after;  // what to say about things that must be free again
  bool waits = true;                   // or is cancelled before the call only
};

struct Traces {
  std::atomic<pid_t> begun{0};
  std::atomic<bool> go{false};
  std::atomic<int> handlers{0}, destructors{0};
  bool returned = false;
};

struct Counts {
  std::atomic<int>& count;
  ~Counts() { ++count; }
};

struct Job {
  const Cell& cell;
  How how;
  Traces traces{};
};

void clean_up(void* job) { ++static_cast<Job*>(job)->traces.handlers; }

void* run_job(void* argument) {
  Job& job = *static_cast<Job*>(argument);
  pthread_cleanup_push(clean_up, argument);
  const Counts counts{job.traces.destructors};
  if (job.how == How::pending) {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
    job.traces.begun = gettid();
    while (!job.traces.go) sched_yield();
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
  } else {
    if (job.how == How::asynchronous) pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
    job.traces.begun = gettid();
  }
  job.cell.call();
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
  job.traces.returned = true;
  pthread_cleanup_pop(0);
  return nullptr;
}

void cancel_in(const Cell& cell, How how) {
  Job job{cell, how};
  pthread_t thread{};
  require(pthread_create(&thread, nullptr, run_job, &job) == 0, "pthread_create");
  while (!job.traces.begun) programs::sleep_ms(1);
  if (how != How::pending) programs::await_waiting(job.traces.begun);
  pthread_cancel(thread);
  job.traces.go = true;
  void* result = nullptr;
  pthread_join(thread, &result);
  std::printf("%s %s: %s, handlers %d, destructors %d%s%s\n", cell.name, kNames[static_cast<int>(how)],
              job.traces.returned          ? "returned"
              : result == PTHREAD_CANCELED ? "cancelled"
                                           : "?",
              job.traces.handlers.load(), job.traces.destructors.load(), cell.after ? ", " : "", cell.after ? cell.after() : "");
}

class Table {
 public:
  void waits(const char* name, std::function<void()> call, std::function<const char*()> after = {}) {
    cells_.push_back({name, std::move(call), std::move(after)});
  }
  void passes(const char* name, std::function<void()> call) { cells_.push_back({name, std::move(call), {}, false}); }
  void run() const {
    for (const Cell& cell : cells_) {
      if (cell.waits) cancel_in(cell, How::deferred);
      if (cell.waits) cancel_in(cell, How::asynchronous);
      cancel_in(cell, How::pending);
    }
  }

 private:
  std::vector<Cell> cells_;
};

char text[64];
iovec part{text, 1};
msghdr message{nullptr, 0, &part, 1, nullptr, 0, 0};

void sleeps(Table& table) {
  static const timespec far{kFarMs / 1000, 0};
  table.waits("nanosleep", [] { nanosleep(&far, nullptr); });
  table.waits("clock_nanosleep", [] { clock_nanosleep(CLOCK_MONOTONIC, 0, &far, nullptr); });
  table.waits("usleep", [] { usleep(kFarMs * 1000); });
  table.waits("sleep", [] { sleep(kFarMs / 1000); });
  table.waits("pause", [] { pause(); });
  table.waits("sigsuspend", [] { sigset_t none; sigemptyset(&none); sigsuspend(&none); });
  static sigset_t others;
  sigemptyset(&others);
  sigaddset(&others, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &others, nullptr);
  table.waits("sigwait", [] { int number = 0; sigwait(&others, &number); });
  table.waits("sigwaitinfo", [] { sigwaitinfo(&others, nullptr); });
  table.waits("sigtimedwait", [] { sigtimedwait(&others, nullptr, &far); });
}

void multiplexers(Table& table) {
  static const Ends silent = Ends::of_pipe();
  static const int nothing = epoll_create1(0);
  static const timespec far{kFarMs / 1000, 0};
  table.waits("poll", [] { pollfd one{silent.reader, POLLIN, 0}; poll(&one, 1, kFarMs); });
  table.waits("ppoll", [] { pollfd one{silent.reader, POLLIN, 0}; ppoll(&one, 1, &far, nullptr); });
  table.waits("select", [] { timeval limit{kFarMs / 1000, 0}; select(0, nullptr, nullptr, nullptr, &limit); });
  table.waits("pselect", [] { pselect(0, nullptr, nullptr, nullptr, &far, nullptr); });
  table.waits("epoll_wait", [] { epoll_event event; epoll_wait(nothing, &event, 1, kFarMs); });
  table.waits("epoll_pwait", [] { epoll_event event; epoll_pwait(nothing, &event, 1, kFarMs, nullptr); });
}

void descriptors(Table& table) {
  static const Ends pipes = Ends::of_pipe(), sockets = Ends::of_sockets(), full_pipe = Ends::of_pipe(), full_sockets = Ends::of_sockets();
  full_pipe.fill();
  full_sockets.fill();
  table.waits("read", [] { (void)!read(pipes.reader, text, 1); });
  table.waits("readv", [] { (void)!readv(pipes.reader, &part, 1); });
  table.waits("recv", [] { recv(sockets.reader, text, 1, 0); });
  table.waits("recvfrom", [] { recvfrom(sockets.reader, text, 1, 0, nullptr, nullptr); });
  table.waits("recvmsg", [] { recvmsg(sockets.reader, &message, 0); });
  table.waits("recvmmsg", [] { mmsghdr one{message, 0}; recvmmsg(sockets.reader, &one, 1, 0, nullptr); });
  table.waits("write", [] { (void)!write(full_pipe.writer, text, 1); });
  table.waits("writev", [] { (void)!writev(full_pipe.writer, &part, 1); });
  table.waits("send", [] { send(full_sockets.writer, text, 1, 0); });
  table.waits("sendto", [] { sendto(full_sockets.writer, text, 1, 0, nullptr, 0); });
  table.waits("sendmsg", [] { sendmsg(full_sockets.writer, &message, 0); });
  table.waits("sendmmsg", [] { mmsghdr one{message, 0}; sendmmsg(full_sockets.writer, &one, 1, 0); });
  table.waits("splice", [] { splice(pipes.reader, nullptr, full_pipe.writer, nullptr, 1, 0); });
  table.waits("tee", [] { tee(pipes.reader, full_pipe.writer, 1, 0); });
  table.waits("vmsplice", [] { vmsplice(full_pipe.writer, &part, 1, 0); });
}

void connections(Table& table) {
  static const int listener = socket(AF_UNIX, SOCK_STREAM, 0), busy = socket(AF_UNIX, SOCK_STREAM, 0),
                   first = socket(AF_UNIX, SOCK_STREAM, 0), second = socket(AF_UNIX, SOCK_STREAM, 0);
  static sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "cancelled-%d", getpid());
  static const auto* const at = reinterpret_cast<const sockaddr*>(&address);
  require(bind(busy, at, sizeof address) == 0 && listen(busy, 0) == 0 && connect(first, at, sizeof address) == 0, "busy listener");
  require(bind(listener, at, sizeof(sa_family_t)) == 0 && listen(listener, 1) == 0, "listener");
  table.waits("accept", [] { accept(listener, nullptr, nullptr); });
  table.waits("accept4", [] { accept4(listener, nullptr, nullptr, 0); });
  table.waits("connect", [] { connect(second, at, sizeof address); });
}

void queues(Table& table) {
  static const int queue = msgget(IPC_PRIVATE, 0600);
  const std::string name = "/cancelled-" + std::to_string(getpid());
  mq_attr attributes{};
  attributes.mq_maxmsg = 1, attributes.mq_msgsize = 16;
  static const mqd_t posix = mq_open(name.c_str(), O_RDWR | O_CREAT, 0600, &attributes);
  mq_unlink(name.c_str());
  table.waits("mq_receive", [] { mq_receive(posix, text, sizeof text, nullptr); });
  table.waits("mq_timedreceive", [] {
    const timespec until = in_ms(CLOCK_REALTIME, kFarMs);
    mq_timedreceive(posix, text, sizeof text, nullptr, &until);
  });
  table.waits("msgrcv", [] { char letter[64]; msgrcv(queue, letter, 8, 0, 0); });
  std::atexit([] { msgctl(queue, IPC_RMID, nullptr); });
}

// Of kinds that say EPERM to any but the owner.
pthread_mutex_t checked;
std::atomic<int> owner_in_handler{0};

const char* mutex_came_back() {
  const bool had = owner_in_handler.exchange(0) == 1;
  const bool free = pthread_mutex_trylock(&checked) == 0 && pthread_mutex_unlock(&checked) == 0;
  return had && free ? "its mutex was had in the handler" : "its mutex is LOST";
}

void with_checked(const std::function<void()>& wait) {
  pthread_mutex_lock(&checked);
  pthread_cleanup_push([](void*) { owner_in_handler += pthread_mutex_unlock(&checked) == 0; }, nullptr);
  wait();
  pthread_cleanup_pop(1);
}

void locks(Table& table) {
  pthread_mutexattr_t kind;
  pthread_mutexattr_init(&kind);
  pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_init(&checked, &kind);
  static sem_t semaphore;
  static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  sem_init(&semaphore, 0, 0);
  table.waits("sem_wait", [] { sem_wait(&semaphore); });
  table.waits("sem_timedwait", [] { const timespec until = in_ms(CLOCK_REALTIME, kFarMs); sem_timedwait(&semaphore, &until); });
  table.waits("sem_clockwait", [] {
    const timespec until = in_ms(CLOCK_MONOTONIC, kFarMs);
    sem_clockwait(&semaphore, CLOCK_MONOTONIC, &until);
  });
  table.waits("pthread_cond_wait", [] { with_checked([] { pthread_cond_wait(&condition, &checked); }); }, mutex_came_back);
  table.waits("pthread_cond_timedwait", [] {
    with_checked([] { const timespec until = in_ms(CLOCK_REALTIME, kFarMs); pthread_cond_timedwait(&condition, &checked, &until); });
  }, mutex_came_back);
  table.waits(
      "pthread_cond_clockwait",
      [] {
        with_checked([] {
          const timespec until = in_ms(CLOCK_MONOTONIC, kFarMs);
          pthread_cond_clockwait(&condition, &checked, CLOCK_MONOTONIC, &until);
        });
      },
      mutex_came_back);
  static pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER;
  static pthread_rwlock_t shared = PTHREAD_RWLOCK_INITIALIZER;
  static pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, nullptr, 1);
  // No cancellation points: these return.
  table.passes("pthread_mutex_lock", [] { pthread_mutex_lock(&plain); pthread_mutex_unlock(&plain); });
  table.passes("pthread_rwlock_rdlock", [] { pthread_rwlock_rdlock(&shared); pthread_rwlock_unlock(&shared); });
  table.passes("pthread_barrier_wait", [] { pthread_barrier_wait(&barrier); });
  table.passes("sem_post", [] { sem_post(&semaphore); sem_trywait(&semaphore); });
}

void threads(Table& table) {
  static pthread_t joined;
  static programs::Gate gate;
  require(pthread_create(&joined, nullptr, [](void*) -> void* { gate.pass(); return nullptr; }, nullptr) == 0, "pthread_create");
  table.waits(
      "pthread_join", [] { pthread_join(joined, nullptr); },
      [] { return pthread_tryjoin_np(joined, nullptr) == EBUSY ? "can still be joined" : "GONE"; });
  std::atexit([] {
    gate.open();
    pthread_join(joined, nullptr);
  });
}

void files(Table& table, const programs::Scratch& scratch) {
  static std::string fifo, locked;
  fifo = scratch.path("fifo"), locked = scratch.path("locked");
  mkfifo(fifo.c_str(), 0600);
  static const int file = open(locked.c_str(), O_RDWR | O_CREAT, 0600), other = open(locked.c_str(), O_RDWR);
  static struct flock all {};
  all.l_type = F_WRLCK;
  require(fcntl(other, F_OFD_SETLK, &all) == 0, "F_OFD_SETLK");
  table.waits("open of a fifo", [] { open(fifo.c_str(), O_RDONLY); });
  table.waits("openat of a fifo", [] { openat(AT_FDCWD, fifo.c_str(), O_WRONLY); });
  table.waits("fcntl", [] { struct flock wanted = all; fcntl(file, F_OFD_SETLKW, &wanted); });
  table.passes("pread", [] { (void)!pread(file, text, 1, 0); });
  table.passes("pwrite", [] { (void)!pwrite(file, text, 1, 0); });
  table.passes("fsync", [] { fsync(file); });
  table.passes("fdatasync", [] { fdatasync(file); });
  table.passes("close", [] { close(-1); });
  table.passes("creat", [] { creat("/nonexistent/file", 0600); });
  table.passes("open", [] { open("/nonexistent/file", O_RDONLY); });
  static void* const page = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file, 0);
  table.passes("msync", [] { msync(page, 4096, MS_SYNC); });
  table.passes("stat", [] { struct stat about; stat(fifo.c_str(), &about); });
}

const char* no_children_left() { return waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD ? "no child left" : "a child is LEFT"; }

void children(Table& table) {
  static pid_t child;
  child = fork();
  if (child == 0) {
    for (;;) pause();
  }
  table.waits("waitpid", [] { waitpid(child, nullptr, 0); });
  table.waits("wait", [] { wait(nullptr); });
  table.waits("wait4", [] { wait4(child, nullptr, 0, nullptr); });
  table.waits("waitid", [] { siginfo_t info; waitid(P_PID, static_cast<id_t>(child), &info, WEXITED); });
  std::atexit([] {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  });
}

void commands(Table& table) {
  table.waits("system", [] { (void)!system("exec sleep 8"); }, no_children_left);
}

// Of /proc/self/task; a joined thread may be seen for a moment longer.
int threads_now(int expected) {
  int count = 0;
  for (int attempt = 0; attempt < 500 && count != expected; ++attempt) {
    if (attempt) programs::sleep_ms(2);
    count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) ++count;
  }
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  alarm(100);  // nothing here may wait for ever
  Table table;
  if (argc > 1 && std::string_view(argv[1]) == "children") {
    commands(table);  // first: it must be without children
    table.run();
    Table waiting;
    children(waiting);
    waiting.run();
    return 0;
  }
  const programs::Scratch scratch;
  sleeps(table);
  multiplexers(table);
  descriptors(table);
  connections(table);
  queues(table);
  locks(table);
  files(table, scratch);
  threads(table);
  programs::sleep_ms(50);
  const int before = threads_now(-1);
  table.run();
  std::printf("%d threads more than before\n", threads_now(before) - before);
  return 0;
}
