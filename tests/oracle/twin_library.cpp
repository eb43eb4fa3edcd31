// SPDX-License-Identifier: Apache-2.0
// One of two libraries with the same code layout and different frame sizes: what a rule learnt from one says about the other
// is wrong at every address.
extern "C" __attribute__((visibility("default"))) int through_twin(int (*inner)(int), int depth) {
  char room[TWIN_ROOM];
  asm volatile("" : : "r"(room) : "memory");
  const int result = depth > 0 ? through_twin(inner, depth - 1) : inner(depth);
  asm volatile("" : : "r"(room) : "memory");
  return result + 1;
}
