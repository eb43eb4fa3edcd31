// SPDX-License-Identifier: Apache-2.0
// Sends queued signals to its threads as fast as they take them, until its input ends, and says then whether each arrived:
// "whole", or "COUNT of COUNT".
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <thread>
#include <vector>

namespace {

constexpr int kThreads = 60;
constexpr long kMostUnderWay = 100;
std::atomic<long> arrived{0};

void count(int) { ++arrived; }

}  // namespace

int main() {
  struct sigaction action = {};
  action.sa_handler = count;
  sigaction(SIGRTMIN, &action, nullptr);
  std::vector<pthread_t> threads;
  for (int i = 0; i < kThreads; ++i) {
    std::thread idle([] {
      for (;;) pause();
    });
    threads.push_back(idle.native_handle());
    idle.detach();
  }
  static std::atomic<bool> over{false};
  std::thread([] {
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    over = true;
  }).detach();
  std::puts("ready");
  std::fflush(stdout);
  long sent = 0;
  for (std::size_t at = 0; !over; at = (at + 1) % threads.size()) {
    if (at % 10 == 0 || sent - arrived >= kMostUnderWay) usleep(100);
    if (sent - arrived < kMostUnderWay && pthread_kill(threads[at], SIGRTMIN) == 0) ++sent;
  }
  for (int i = 0; i < 500 && arrived != sent; ++i) usleep(10000);
  if (arrived == sent)
    std::puts("whole");
  else
    std::printf("%ld of %ld\n", arrived.load(), sent);
  std::fflush(stdout);
  _exit(7);
}
