// SPDX-License-Identifier: Apache-2.0
// sleeps KIND: sleeps a hundred times about a millisecond.
//   same      of the same length each time
//   rest      for what is left until the next of moments at a steady rate, as std::this_thread::sleep_until does
//   moments   until each of these moments
//   interval  until a millisecond from now, as CPython does
#include <cstring>
#include <ctime>

namespace {

constexpr long kMillisecond = 1'000'000, kSecond = 1'000'000'000;

timespec after(timespec time, long ns) {
  time.tv_nsec += ns;
  if (time.tv_nsec >= kSecond) ++time.tv_sec, time.tv_nsec -= kSecond;
  return time;
}

timespec now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time;
}

void sleep_until(const timespec& moment) { clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, nullptr); }

}  // namespace

int main(int, char** argv) {
  timespec next = now();
  for (int i = 0; i < 100; ++i) {
    next = after(next, kMillisecond);
    if (!std::strcmp(argv[1], "same")) {
      const timespec length{0, kMillisecond};
      nanosleep(&length, nullptr);
    } else if (!std::strcmp(argv[1], "rest")) {
      const timespec at = now();
      const long left = (next.tv_sec - at.tv_sec) * kSecond + next.tv_nsec - at.tv_nsec;
      const timespec length{0, left};
      if (left > 0) nanosleep(&length, nullptr);
    } else if (!std::strcmp(argv[1], "moments")) {
      sleep_until(next);
    } else {
      sleep_until(after(now(), kMillisecond));
    }
  }
}
