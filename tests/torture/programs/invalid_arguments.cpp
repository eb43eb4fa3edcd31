// SPDX-License-Identifier: Apache-2.0
// Calls with addresses that cannot be read, descriptors that are none, limits of time that cannot be: the kernel or libc says EFAULT,
// EBADF or EINVAL, and so it must stay. Whoever looks at an address before the call crashes here.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

namespace {

// Unknown to the compiler, which otherwise warns of what is meant.
template <class T>
T* bad() {
  T* pointer = reinterpret_cast<T*>(8);
  asm volatile("" : "+r"(pointer));
  return pointer;
}

template <class T>
T* null() {
  T* pointer = nullptr;
  asm volatile("" : "+r"(pointer));
  return pointer;
}

template <class Result>
void say(const char* call, Result result) {
  const int error = errno;
  printf("%s: %lld, errno %d\n", call, static_cast<long long>(result), result < 0 ? error : 0);
  errno = 0;
}

void files() {
  say("open", open(bad<char>(), O_RDONLY));
  say("openat", openat(AT_FDCWD, bad<char>(), O_RDONLY));
  say("creat", creat(bad<char>(), 0600));
  say("unlink", unlink(bad<char>()));
  say("unlink of null", unlink(null<char>()));
  say("remove", remove(bad<char>()));
  say("rename", rename(bad<char>(), bad<char>()));
  say("stat", stat(bad<char>(), bad<struct stat>()));
  say("fstat", fstat(0, bad<struct stat>()));
  say("statx", statx(0, bad<char>(), 0, 0, bad<struct statx>()));
  say("access", access(bad<char>(), 0));
  say("mkdir", mkdir(bad<char>(), 0700));
  say("truncate", truncate(bad<char>(), 0));
  say("closedir of none", closedir(null<DIR>()));
  say("pipe", pipe(bad<int>()));
  say("close", close(-1));
  say("dup2", dup2(-1, 900));
  say("fsync", fsync(-1));
  say("fcntl", fcntl(-1, F_SETLKW, bad<struct flock>()));
}

void bytes(int device) {
  char one;
  say("read", read(device, bad<char>(), 8));
  say("read of no descriptor", read(-1, &one, 1));
  say("write", write(1, bad<char>(), 8));
  say("readv", readv(device, bad<iovec>(), 1));
  say("writev", writev(1, bad<iovec>(), 1));
  say("preadv", preadv(device, bad<iovec>(), 1, 0));
}

void sockets() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in nobody{};
  say("connect", connect(fd, bad<sockaddr>(), sizeof(sockaddr_in)));
  say("connect to null", connect(fd, null<sockaddr>(), 0));
  say("connect of no descriptor", connect(-1, bad<sockaddr>(), sizeof(sockaddr_in)));
  say("connect, address cut short", connect(fd, reinterpret_cast<const sockaddr*>(&nobody), 1));
  say("accept", accept(fd, bad<sockaddr>(), bad<socklen_t>()));
  say("recvmsg", recvmsg(fd, bad<msghdr>(), 0));
  say("sendmsg", sendmsg(fd, bad<msghdr>(), 0));
  say("setsockopt", setsockopt(fd, IPPROTO_TCP, 1, bad<int>(), sizeof(int)));
  say("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, bad<int>()));
  close(fd);
}

// Of locks that are free: some calls look at the limit of time all the same.
void limits() {
  const timespec impossible{0, -1}, far{4'000'000'000, 0};
  constexpr clockid_t kNoClock = 77;
  sem_t semaphore;
  sem_init(&semaphore, 0, 9);
  say("sem_timedwait", sem_timedwait(&semaphore, &impossible));
  say("sem_clockwait", sem_clockwait(&semaphore, CLOCK_MONOTONIC, &impossible));
  say("sem_clockwait by no clock", sem_clockwait(&semaphore, kNoClock, &far));
  const auto each = [&](auto make, const char* name, auto timed, auto clocked) {
    auto first = make(), second = make(), third = make();
    printf("%s\n", name);
    say("timed", timed(&first, &impossible));
    say("by a clock", clocked(&second, CLOCK_MONOTONIC, &impossible));
    say("by no clock", clocked(&third, kNoClock, &far));
  };
  const auto mutex = [] { return pthread_mutex_t(PTHREAD_MUTEX_INITIALIZER); };
  const auto rwlock = [] { return pthread_rwlock_t(PTHREAD_RWLOCK_INITIALIZER); };
  each(mutex, "mutex", pthread_mutex_timedlock, pthread_mutex_clocklock);
  each(rwlock, "reader", pthread_rwlock_timedrdlock, pthread_rwlock_clockrdlock);
  each(rwlock, "writer", pthread_rwlock_timedwrlock, pthread_rwlock_clockwrlock);
}

void waits() {
  say("poll", poll(bad<pollfd>(), 1, 0));
  say("select", select(1, bad<fd_set>(), nullptr, nullptr, nullptr));
  say("epoll_wait", epoll_wait(-1, bad<epoll_event>(), 1, 0));
  say("nanosleep", nanosleep(bad<timespec>(), nullptr));
  say("clock_nanosleep", clock_nanosleep(CLOCK_MONOTONIC, 0, bad<timespec>(), nullptr));
  say("waitpid", waitpid(-1, bad<int>(), WNOHANG));
}

}  // namespace

int main() {
  const int device = open("/dev/zero", O_RDONLY);
  files();
  bytes(device);
  sockets();
  waits();
  limits();
  return 0;
}
