// SPDX-License-Identifier: Apache-2.0
// Replaces itself COUNT times, using some CPU and a thread in each life, and prints "lives <COUNT>" in the last. A sampler's
// signal that survives exec would end the next life.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "tests/end_to_end/programs/clocks.h"

int main(int argc, char** argv) {
  const int left = argc > 1 ? std::atoi(argv[1]) : 10;
  const int lived = argc > 2 ? std::atoi(argv[2]) : 0;
  programs::burn_cpu_until(programs::thread_cpu_ns() + 3000000);
  if (left == 0) {
    std::printf("lives %d\n", lived);
    return 0;
  }
  std::thread worker([] {
    for (std::uint64_t value = 1;;) value = programs::step(value);
  });
  usleep(1000);
  execl("/proc/self/exe", argv[0], std::to_string(left - 1).c_str(), std::to_string(lived + 1).c_str(), static_cast<char*>(nullptr));
  std::perror("execl");
  std::_Exit(1);
}
