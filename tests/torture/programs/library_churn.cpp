// SPDX-License-Identifier: Apache-2.0
// Loads and unloads two libraries in turn, ROUNDS times, so that different code comes to lie at one address, and works inside
// them while other threads load too. Prints the sums that must come out. LIBRARY_A and LIBRARY_B are the arguments.
#include <dlfcn.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const int rounds = std::atoi(argv[3]);
  std::atomic<long> sum{0}, failed{0};
  std::vector<std::thread> workers;
  for (int worker = 0; worker < 3; ++worker) {
    workers.emplace_back([&, worker] {
      for (int round = 0; round < rounds; ++round) {
        void* library = dlopen(argv[1 + (round + worker) % 2], RTLD_NOW | RTLD_LOCAL);
        const auto work = library ? reinterpret_cast<long (*)(long)>(dlsym(library, "churn_work")) : nullptr;
        if (work == nullptr) {
          ++failed;
          continue;
        }
        sum += work(20);
        dlclose(library);
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  std::printf("sum %ld failed %ld\n", sum.load(), failed.load());
  return 0;
}
