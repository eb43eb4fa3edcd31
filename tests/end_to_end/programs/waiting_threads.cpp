// SPDX-License-Identifier: Apache-2.0
// Keeps COUNT threads alive that each used a little CPU, for SECONDS, and prints the process's resident bytes while they are
// all there: "threads <count> resident_bytes <bytes>".
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "tests/end_to_end/programs/clocks.h"

namespace {

std::atomic<int> ready{0};
pthread_barrier_t all_done;

void* work(void*) {
  programs::burn_cpu_until(2000000);
  ++ready;
  pthread_barrier_wait(&all_done);
  return nullptr;
}

unsigned long long resident_bytes() {
  unsigned long long total = 0, resident = 0;
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr || std::fscanf(file, "%llu %llu", &total, &resident) != 2) std::exit(1);
  std::fclose(file);
  return resident * static_cast<unsigned long long>(sysconf(_SC_PAGESIZE));
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 100;
  const double seconds = argc > 2 ? std::atof(argv[2]) : 1.5;
  pthread_barrier_init(&all_done, nullptr, static_cast<unsigned>(count) + 1);
  std::vector<pthread_t> threads(static_cast<std::size_t>(count));
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 256 * 1024);
  for (pthread_t& thread : threads) {
    if (pthread_create(&thread, &attributes, work, nullptr) != 0) return 1;
  }
  while (ready.load() < count) usleep(1000);
  usleep(static_cast<useconds_t>(seconds * 1e6));
  std::printf("threads %d resident_bytes %llu\n", count, resident_bytes());
  pthread_barrier_wait(&all_done);
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  return 0;
}
