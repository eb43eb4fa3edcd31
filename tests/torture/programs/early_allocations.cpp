// SPDX-License-Identifier: Apache-2.0
// Says how far a library came whose constructor allocates, opens a library, throws and starts a thread before others are ready.
#include <cstdio>
#include <cstdlib>

extern "C" int early_start_steps();

int main() {
  void* block = std::malloc(100);
  std::printf("steps %d\n", early_start_steps());
  std::free(block);
  return early_start_steps() == 5 ? 6 : 1;
}
