// SPDX-License-Identifier: Apache-2.0
// Ends by exit() while the heap is in use, in the way that its argument names, with status 3.
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

struct Node {
  Node* next;
  char room[56];
};

std::atomic<int> ready{0};
std::atomic<Node*> shared{nullptr};
void* kept[512];

Node* make_list(int length) {
  Node* head = nullptr;
  for (int i = 0; i < length; ++i) {
    auto* node = static_cast<Node*>(std::malloc(sizeof(Node)));
    node->next = head;
    head = node;
  }
  return head;
}

void churn(unsigned seed, bool forever) {
  for (unsigned i = 0; forever || i < 2000000; ++i) {
    seed = seed * 1664525 + 1013904223;
    void*& block = kept[seed >> 23];
    void* old = __atomic_exchange_n(&block, std::malloc(seed >> 8 & 4095), __ATOMIC_ACQ_REL);
    std::free(old);
    if (i == 1000) ++ready;
  }
}

void* churn_forever(void* seed) {
  churn(static_cast<unsigned>(reinterpret_cast<unsigned long>(seed)), true);
  return nullptr;
}

void* free_list(void*) {
  ++ready;
  for (Node* node = shared.exchange(nullptr); node;) {
    Node* next = node->next;
    std::free(node);
    node = next;
  }
  for (;;) pause();
}

void leave(int) { std::exit(3); }

void leave_from_handler() {
  signal(SIGALRM, leave);
  itimerval soon{{0, 0}, {0, 70000}};
  setitimer(ITIMER_REAL, &soon, nullptr);
  churn(1, true);
}

void* alternate_stack() {
  static char room[64 * 1024];
  stack_t stack{room, 0, sizeof room};
  sigaltstack(&stack, nullptr);
  struct sigaction action {};
  action.sa_handler = leave;
  action.sa_flags = SA_ONSTACK;
  sigaction(SIGALRM, &action, nullptr);
  itimerval soon{{0, 0}, {0, 70000}};
  setitimer(ITIMER_REAL, &soon, nullptr);
  churn(2, true);
  return nullptr;
}

void start(void* (*routine)(void*), int count) {
  for (int i = 0; i < count; ++i) {
    pthread_t thread;
    pthread_create(&thread, nullptr, routine, reinterpret_cast<void*>(static_cast<long>(i + 3)));
  }
  while (ready < count) usleep(100);
}

void* exit_here(void*) { std::exit(3); }

int run(const char* how) {
  if (std::strcmp(how, "handler") == 0) leave_from_handler();
  if (std::strcmp(how, "alternate_stack") == 0) alternate_stack();
  if (std::strcmp(how, "threads_run_on") == 0) start(churn_forever, 3);
  if (std::strcmp(how, "thread_frees") == 0) {
    shared = make_list(300000);
    start(free_list, 1);
  }
  if (std::strcmp(how, "thread_exits") == 0) {
    pthread_t thread;
    pthread_create(&thread, nullptr, exit_here, nullptr);
    for (;;) pause();
  }
  if (std::strcmp(how, "child") == 0) {
    shared = make_list(1000);
    const pid_t child = fork();
    if (child == 0) {
      churn(5, false);
      return 3;
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
  }
  if (std::strcmp(how, "large") == 0) shared = make_list(6000000);
  return 3;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  std::puts("begun");
  std::fflush(stdout);
  return run(argv[1]);
}
