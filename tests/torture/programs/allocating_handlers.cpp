// SPDX-License-Identifier: Apache-2.0
// Handlers that allocate, in a program that has seen to it that this is safe: the signals come only where it is in no allocation, in
// sigsuspend or in a loop that calls nothing. A sampler's signals come at the same time.
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace {

constexpr int kThreads = 4, kTurns = 300;

thread_local std::array<void*, 50> kept;
thread_local volatile int handled = 0;

void allocate_in_handler(int) {
  errno = EILSEQ;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    std::free(kept[i]);
    kept[i] = std::malloc(1 + i * 40);
    if (!kept[i]) _exit(1);
  }
  handled = handled + (errno == EILSEQ);  // malloc that succeeds and free leave it alone
}

sigset_t only(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  return set;
}

// The signal is blocked but in here.
void be_handled_in_sigsuspend(const sigset_t& open) {
  pthread_kill(pthread_self(), SIGUSR1);
  sigsuspend(&open);
}

void be_handled_in_a_loop() {
  const sigset_t usr2 = only(SIGUSR2);
  const int before = handled;
  pthread_kill(pthread_self(), SIGUSR2);
  pthread_sigmask(SIG_UNBLOCK, &usr2, nullptr);
  while (handled == before) {
  }
  pthread_sigmask(SIG_BLOCK, &usr2, nullptr);
}

void* work(void* given) {
  const auto& open = *static_cast<const sigset_t*>(given);
  for (int turn = 0; turn < kTurns; ++turn) {
    be_handled_in_sigsuspend(open);
    be_handled_in_a_loop();
    for (void*& block : kept) std::free(block), block = std::malloc(100);  // what handlers allocated is freed outside
  }
  for (void*& block : kept) std::free(block), block = nullptr;
  static std::atomic<int> sum{0};
  sum += handled;
  return &sum;
}

}  // namespace

int main() {
  struct sigaction action {};
  action.sa_handler = allocate_in_handler;
  sigaction(SIGUSR1, &action, nullptr);
  sigaction(SIGUSR2, &action, nullptr);
  sigset_t both = only(SIGUSR1), open;
  sigaddset(&both, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &both, &open);
  std::array<pthread_t, kThreads> threads;
  for (pthread_t& thread : threads)
    if (pthread_create(&thread, nullptr, work, &open) != 0) return 1;
  void* sum = nullptr;
  for (const pthread_t thread : threads) pthread_join(thread, &sum);
  const int seen = static_cast<std::atomic<int>*>(sum)->load();
  std::printf("handled %d\n", seen);
  return seen == 2 * kThreads * kTurns ? 0 : 1;
}
