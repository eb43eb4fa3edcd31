// SPDX-License-Identifier: Apache-2.0
// Closes every descriptor it was not given by name, opens many files in FOLDER under the same numbers, and checks at the end
// that nobody else wrote into them. Prints "files <count> spoiled <count>".
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "tests/end_to_end/programs/clocks.h"

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const std::string folder = argv[1];
  const int count = std::atoi(argv[2]);
  std::thread before([] { programs::burn_cpu_until(50000000); });
  before.join();
  close_range(3, ~0u, 0);
  std::vector<int> files;
  for (int i = 0; i < count; ++i) {
    const int file = open((folder + "/own" + std::to_string(i)).c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0) break;
    const char byte = static_cast<char>('a' + i % 26);
    if (write(file, &byte, 1) != 1) return 1;
    files.push_back(file);
  }
  std::vector<std::thread> workers;
  for (int i = 0; i < 3; ++i) {
    workers.emplace_back([] {
      programs::burn_cpu_until(800000000);  // the agent's once-a-second work happens meanwhile
      usleep(600000);
    });
  }
  for (std::thread& worker : workers) worker.join();
  int spoiled = 0;
  for (std::size_t i = 0; i < files.size(); ++i) {
    char bytes[4];
    const ssize_t got = pread(files[i], bytes, sizeof bytes, 0);
    spoiled += got != 1 || bytes[0] != static_cast<char>('a' + i % 26);
  }
  std::printf("files %zu spoiled %d\n", files.size(), spoiled);
  return 0;
}
