// SPDX-License-Identifier: Apache-2.0
// One source, two libraries (-DVARIANT=0 and 1) with frames of different sizes at the same places.
static long descend(long depth, volatile char* above) {
  volatile char block[32 + 160 * VARIANT];
  volatile long value = 0;
  block[0] = above ? above[0] : 1;
  for (long i = 0; i < 2000; ++i) value = value * 31 + i;
  return depth == 0 ? value * 0 + VARIANT + 1 : descend(depth - 1, block) + (value == 42);
}

long churn_work(long depth) { return descend(depth, 0); }
