// SPDX-License-Identifier: Apache-2.0
// io_calls CALL COUNT: makes a call so often that hooks show in its cost, and prints nanoseconds of wall time for each, as
// "each_ns N": the least of twenty batches, as what others on the machine add is never negative.
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "tests/end_to_end/programs/clocks.h"

namespace {

constexpr int kBatches = 20;

int descriptor = -1;
int there[2], back[2];
FILE* stream = nullptr;
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, outer = PTHREAD_MUTEX_INITIALIZER;
pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
pthread_spinlock_t spin;
pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
sem_t semaphore;
int turn = 0;

bool read_a_byte() {
  char byte;
  return read(descriptor, &byte, 1) == 1;
}
bool write_a_byte() { return write(descriptor, "x", 1) == 1; }
bool look_at_file() {
  struct stat about;
  return fstat(descriptor, &about) == 0;
}
bool poll_nothing() { return poll(nullptr, 0, 0) == 0; }
bool poll_two() {
  pollfd both[] = {{there[0], POLLIN, 0}, {back[0], POLLIN, 0}};
  return poll(both, 2, 0) == 0;
}
bool epoll_ready() {
  epoll_event event;
  return epoll_wait(descriptor, &event, 1, -1) == 1;
}
bool lock_and_unlock() { return pthread_mutex_lock(&mutex) == 0 && pthread_mutex_unlock(&mutex) == 0; }
bool lock_two() { return pthread_mutex_lock(&outer) == 0 && lock_and_unlock() && pthread_mutex_unlock(&outer) == 0; }
bool read_lock() { return pthread_rwlock_rdlock(&rwlock) == 0 && pthread_rwlock_unlock(&rwlock) == 0; }
bool write_lock() { return pthread_rwlock_wrlock(&rwlock) == 0 && pthread_rwlock_unlock(&rwlock) == 0; }
bool spin_lock() { return pthread_spin_lock(&spin) == 0 && pthread_spin_unlock(&spin) == 0; }
bool post_and_take() { return sem_post(&semaphore) == 0 && sem_wait(&semaphore) == 0; }
bool signal_nobody() { return pthread_cond_signal(&condition) == 0; }
bool take_turn(int mine) {
  pthread_mutex_lock(&mutex);
  while (turn != mine) pthread_cond_wait(&condition, &mutex);
  turn = !mine;
  pthread_cond_signal(&condition);
  return pthread_mutex_unlock(&mutex) == 0;
}
bool write_to_buffer() { return fwrite("sixteen bytes...", 1, 16, stream) == 16; }
bool ask_and_wait() {
  char byte;
  return write(there[1], "x", 1) == 1 && read(back[0], &byte, 1) == 1;
}

// On one CPU, so that each read of either side blocks: what is counted is a blocking read and the write that ends it.
bool start_answering() {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  if (sched_setaffinity(0, sizeof one, &one) != 0 || pipe(there) != 0 || pipe(back) != 0) return false;
  std::thread([] {
    char byte;
    while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1) {
    }
  }).detach();
  return true;
}

bool start_taking_turns() {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  if (sched_setaffinity(0, sizeof one, &one) != 0) return false;
  std::thread([] {
    while (take_turn(1)) {
    }
  }).detach();
  return true;
}

bool make_pipes() { return pipe(there) == 0 && pipe(back) == 0; }

bool watch_ready() {
  epoll_event event{.events = EPOLLIN, .data = {}};
  descriptor = epoll_create1(0);
  return make_pipes() && write(there[1], "x", 1) == 1 && epoll_ctl(descriptor, EPOLL_CTL_ADD, there[0], &event) == 0;
}

// What locks cost depends on whether there are threads at all.
bool start_sleeping() {
  std::thread([] { pause(); }).detach();
  return true;
}

// A request of some 33 us, at whose end what all threads share is changed under its lock: 30,000 acquisitions a second and thread.
bool serve() {
  static std::uint64_t shared = 1;
  std::uint64_t own = 1;
  for (int i = 0; i < 22'000; ++i) own = (own ^ own >> 29) * 0x9e3779b97f4a7c15u;
  pthread_mutex_lock(&mutex);
  for (int i = 0; i < 200; ++i) shared = (shared ^ own ^ shared >> 29) * 0x9e3779b97f4a7c15u;
  pthread_mutex_unlock(&mutex);
  return shared != 0;
}

bool start_serving() {
  std::thread([] {
    while (serve()) {}
  }).detach();
  return true;
}

struct Call {
  std::string_view name;
  const char* opens;
  bool (*prepare)();
  bool (*once)();
  int calls;  // counted in one `once`
};

const Call kCalls[] = {
    {"read", "/dev/zero", nullptr, read_a_byte, 1},
    {"write", "/dev/null", nullptr, write_a_byte, 1},
    {"fstat", "/dev/null", nullptr, look_at_file, 1},
    {"poll", nullptr, nullptr, poll_nothing, 1},
    {"poll_two", nullptr, make_pipes, poll_two, 1},
    {"epoll", nullptr, watch_ready, epoll_ready, 1},
    {"mutex", nullptr, start_sleeping, lock_and_unlock, 1},
    {"mutex_alone", nullptr, nullptr, lock_and_unlock, 1},
    {"two_mutexes", nullptr, start_sleeping, lock_two, 2},
    {"read_lock", nullptr, start_sleeping, read_lock, 1},
    {"write_lock", nullptr, start_sleeping, write_lock, 1},
    {"spin_lock", nullptr, [] { return start_sleeping() && pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE) == 0; }, spin_lock, 1},
    {"semaphore", nullptr, [] { return start_sleeping() && sem_init(&semaphore, 0, 0) == 0; }, post_and_take, 1},
    {"signal", nullptr, start_sleeping, signal_nobody, 1},
    {"turns", nullptr, start_taking_turns, [] { return take_turn(0); }, 2},
    {"serve", nullptr, start_serving, serve, 1},
    {"fwrite", nullptr, [] { return (stream = std::fopen("/dev/null", "w")) != nullptr; }, write_to_buffer, 1},
    {"ping_pong", nullptr, start_answering, ask_and_wait, 2},
};

double least_ns(const Call& call, int count, bool& good) {
  std::uint64_t least = ~0ull;
  for (int batch = 0; batch < kBatches; ++batch) {
    const auto began = programs::wall_ns();
    for (int i = 0; i < count; ++i) good = call.once() && good;
    least = std::min(least, programs::wall_ns() - began);
  }
  return static_cast<double>(least) / count / call.calls;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view name = argc > 2 ? argv[1] : "";
  const int count = argc > 2 ? std::atoi(argv[2]) / kBatches : 0;
  const auto call = std::find_if(std::begin(kCalls), std::end(kCalls), [&](const Call& one) { return one.name == name; });
  if (call == std::end(kCalls) || count < 1) return 2;
  if (call->opens && (descriptor = open(call->opens, O_RDWR)) < 0) return 1;
  if (call->prepare && !call->prepare()) return 1;
  bool good = true;
  for (int i = 0; i < count / 2 + 1; ++i) good = call->once() && good;
  std::printf("each_ns %.2f\n", least_ns(*call, count, good));
  std::fflush(stdout);
  _exit(good ? 0 : 1);  // the answering thread still reads
}
