// SPDX-License-Identifier: Apache-2.0
// openmp_loop static|rounds|short|dynamic|serial: rows of very different cost, dealt out in equal parts, once or time after time, or as threads
// become free. The short rounds and those with a serial stage are over before the threads that wait stop to spin.
#include <cstdio>
#include <cstring>

namespace {

[[gnu::noinline]] double sum_row(int row) {
  double sum = 0;
  for (long i = 0; i < row * 4000L; ++i) sum += 1.0 / static_cast<double>(i + 1);
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  double total = 0;
  if (argc > 1 && std::strcmp(argv[1], "static") == 0) {
#pragma omp parallel for reduction(+ : total) schedule(static)
    for (int row = 0; row < 1000; ++row) total += sum_row(row);
  } else if (argc > 1 && std::strcmp(argv[1], "rounds") == 0) {
    for (int round = 0; round < 100; ++round) {
#pragma omp parallel for reduction(+ : total) schedule(static)
      for (int row = 0; row < 100; ++row) total += sum_row(row);
    }
  } else if (argc > 1 && (std::strcmp(argv[1], "short") == 0 || std::strcmp(argv[1], "serial") == 0)) {
    const bool serial = std::strcmp(argv[1], "serial") == 0;
    for (int round = 0; round < 3000; ++round) {
      if (serial) total += sum_row(60);
#pragma omp parallel for reduction(+ : total) schedule(static)
      for (int row = 0; row < 20; ++row) total += sum_row(serial ? 2 : (20 - row) / 2);
    }
  } else {
#pragma omp parallel for reduction(+ : total) schedule(dynamic, 4)
    for (int row = 0; row < 1000; ++row) total += sum_row(row);
  }
  std::printf("%.3f\n", total);
}
