// SPDX-License-Identifier: Apache-2.0
// sleepers SECONDS: threads that sleep, each in another call, each made once and below a few functions of its own; then the end. Also
// built without optimisation, where the functions find their callers by the frame pointer.
#include <netinet/in.h>
#include <pthread.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

namespace {

constexpr int kDepth = 5;

using Sleep = void (*)(int seconds);

[[gnu::noinline]] int below(Sleep sleep, int seconds, int depth) {
  volatile int words[16] = {depth};  // a frame of some size
  if (depth == 0) sleep(seconds);
  else words[1] = below(sleep, seconds, depth - 1);
  return words[0] + words[1];
}

int read_end() {
  int ends[2];
  return pipe(ends) == 0 ? ends[0] : -1;
}

int listener() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 && listen(socket, 1) == 0 ? socket : -1;
}

void in_read(int) {
  char byte;
  if (read(read_end(), &byte, 1) != 0) std::abort();
}
void in_poll(int seconds) {
  pollfd one{read_end(), POLLIN, 0};
  poll(&one, 1, 1000 * seconds);
}
void in_epoll(int seconds) {
  epoll_event event;
  epoll_wait(epoll_create1(EPOLL_CLOEXEC), &event, 1, 1000 * seconds);
}
void in_accept(int) { accept(listener(), nullptr, nullptr); }
void in_recv(int) {
  int pair[2];
  char byte;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0) recv(pair[0], &byte, 1, 0);
}
void in_sleep(int seconds) { sleep(static_cast<unsigned>(seconds)); }
void in_semaphore(int) {
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  sem_wait(&semaphore);
}
void in_condition(int) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  pthread_mutex_lock(&mutex);
  for (;;) pthread_cond_wait(&condition, &mutex);
}
void in_futex(int) {
  int word = 0;
  syscall(SYS_futex, &word, 128, 0, nullptr, nullptr, 0);  // FUTEX_WAIT_PRIVATE
}

}  // namespace

int main(int argc, char** argv) {
  const int seconds = argc > 1 ? std::atoi(argv[1]) : 1;
  for (const Sleep sleep : {in_read, in_poll, in_epoll, in_accept, in_recv, in_sleep, in_semaphore, in_condition, in_futex})
    std::thread(below, sleep, 10 * seconds, kDepth).detach();
  below(in_sleep, seconds, kDepth);
  std::puts("done");
  std::fflush(stdout);
  _exit(0);
}
