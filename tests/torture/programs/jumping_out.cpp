// SPDX-License-Identifier: Apache-2.0
// Leaves calls that wait from inside a signal handler: by siglongjmp and by pthread_exit; and lets the handler itself wait there.
// Whatever kept notes about the call must be as before it: the same thread goes on to wait in the same call, many times.
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "tests/torture/programs/ends.h"
#include "tests/torture/programs/waiting.h"

namespace {

using programs::Ends;

constexpr timespec kFar{20, 0};
const Ends pipes = Ends::of_pipe(), sockets = Ends::of_sockets();
sem_t semaphore;

struct Call {
  const char* name;
  void (*wait)();
};

const Call kCalls[] = {
    {"read", [] { char byte; (void)!read(pipes.reader, &byte, 1); }},
    {"recv", [] { char byte; recv(sockets.reader, &byte, 1, 0); }},
    {"poll", [] { pollfd one{pipes.reader, POLLIN, 0}; poll(&one, 1, 20000); }},
    {"ppoll", [] { pollfd one{pipes.reader, POLLIN, 0}; ppoll(&one, 1, &kFar, nullptr); }},
    {"select", [] { timeval limit{20, 0}; select(0, nullptr, nullptr, nullptr, &limit); }},
    {"nanosleep", [] { nanosleep(&kFar, nullptr); }},
    {"usleep", [] { usleep(20'000'000); }},
    {"sleep", [] { sleep(20); }},
    {"sem_wait", [] { sem_wait(&semaphore); }},
    {"pause", [] { pause(); }},
};

enum class Way { jump, exit, wait };
thread_local Way way;
thread_local sigjmp_buf back;
std::atomic<int> handled{0}, destructors{0};

struct Counts {
  ~Counts() { ++destructors; }
};

void on_signal(int) {
  ++handled;
  if (way == Way::jump) siglongjmp(back, 1);
  if (way == Way::exit) pthread_exit(nullptr);
  programs::sleep_ms(2);
}

// Signals a thread `times` times, each when it waits.
class Waiter {
 public:
  Waiter(Way how, const Call& call, int times) : thread_([=, this] { run(how, call, times); }) {
    for (int i = 1; i <= times; ++i) {
      while (begun_ < i) programs::sleep_ms(1);
      programs::await_waiting(id_);
      pthread_kill(thread_.native_handle(), SIGUSR1);
    }
    thread_.join();
  }

 private:
  void run(Way how, const Call& call, int times) {
    way = how;
    id_ = gettid();
    const Counts counts;
    // What changes between sigsetjmp and the jump is no automatic variable.
    while (begun_ < times) {
      if (sigsetjmp(back, 1) == 0) {
        ++begun_;
        call.wait();
      }
    }
  }

  std::atomic<int> begun_{0}, id_{0};
  std::thread thread_;
};

void leave(const Call& call, Way how, const char* name, int times) {
  handled = destructors = 0;
  {
    const Waiter waiter(how, call, times);
  }
  std::printf("%s of %s: handled %d, destructors %d\n", name, call.name, handled.load(), destructors.load());
}

// Both the thread that jumps and the one that ends have used the calls before and after.
bool still_works() {
  char byte = 0;
  pipes.give("x", 1);
  pollfd one{pipes.reader, POLLIN, 0};
  return poll(&one, 1, 1000) == 1 && read(pipes.reader, &byte, 1) == 1 && byte == 'x';
}

}  // namespace

int main(int argc, char** argv) {
  const int times = argc > 1 ? std::atoi(argv[1]) : 10;
  sem_init(&semaphore, 0, 0);
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGUSR1, &action, nullptr);
  for (const Call& call : kCalls) {
    leave(call, Way::jump, "jump out", times);
    leave(call, Way::exit, "exit out", 1);
    leave(call, Way::wait, "wait inside", times);
  }
  std::printf("still works: %d\n", still_works());
  return 0;
}
