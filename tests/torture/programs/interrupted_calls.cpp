// SPDX-License-Identifier: Apache-2.0
// A signal of the program's own arrives in each call that waits, with and without SA_RESTART: prints what the call returned, errno,
// what is left of the time, and how much was moved. Who must not return is ended a little later. No times: two runs print the same.
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include "tests/torture/programs/interrupted/table.h"

namespace interrupted {
namespace {

std::atomic<int> handled{0};

void interrupt(const Cell& cell, int flags) {
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
  while (handled == 0) programs::sleep_ms(1);
  programs::await_waiting(begun);  // again, or it is over
  if (cell.end && !over) cell.end();
  thread.join();
  std::printf("%s%s: %ld%s%s, handled %d%s%s\n", cell.name, flags & SA_RESTART ? " restarting" : "", seen.result, seen.error ? " " : "",
              seen.error ? strerrorname_np(seen.error) : "", handled.load(), seen.more.empty() ? "" : ", ", seen.more.c_str());
}

}  // namespace

void Table::run(int flags) const {
  struct sigaction action {};
  action.sa_handler = [](int) { ++handled; };
  action.sa_flags = flags;
  sigaction(SIGUSR1, &action, nullptr);
  for (const Cell& cell : cells_) interrupt(cell, flags);
}

}  // namespace interrupted

int main() {
  alarm(100);  // nothing here may wait for ever
  const programs::Scratch scratch;
  interrupted::Table table;
  interrupted::add_signals(table);  // first: it blocks a signal
  interrupted::add_sleeps(table);
  interrupted::add_multiplexers(table);
  interrupted::add_locks(table);
  interrupted::add_inputs(table);
  interrupted::add_outputs(table);
  interrupted::add_connections(table);
  interrupted::add_files(table, scratch);
  interrupted::add_children(table);
  interrupted::add_queues(table);
  table.run(0);
  table.run(SA_RESTART);
  return interrupted::remove_queues() ? 0 : 1;
}
