// SPDX-License-Identifier: Apache-2.0
#include "tests/torture/programs/blocking/stage.h"

#include <cstdio>
#include <thread>

#include "tests/end_to_end/programs/clocks.h"

namespace blocking {

long long Stage::run(const char* name, const std::function<bool()>& call, const std::function<void(pthread_t)>& end, bool& right) {
  std::atomic<bool> begun{false};
  std::uint64_t took = 0;
  std::thread thread([&] {
    pthread_setname_np(pthread_self(), name);
    const std::uint64_t start = wall_ns();
    begun = true;
    right = call();
    took = wall_ns() - start;
    if (took < kBlockedMs * 500'000) sleep_ms(2 * kBlockedMs);  // so short a thread might leave no name behind
  });
  while (!begun) sleep_ms(1);
  if (end) {
    sleep_ms(kBlockedMs);
    end(thread.native_handle());
  }
  thread.join();
  return static_cast<long long>(took / 1000);
}

void Stage::print(const char* name, const char* kinds, long long microseconds, bool right) {
  good_ = good_ && right;
  std::printf("%s %s %s", name, kinds, right ? "right" : "WRONG");
  if (times_) std::printf(" %lld", microseconds);
  std::printf("\n");
  std::fflush(stdout);
}

// No upper bound here: on a busy machine any wait may last longer.
void Stage::block(const char* name, const char* kinds, const std::function<bool()>& call, const std::function<void(pthread_t)>& end) {
  bool right = false;
  const long long microseconds = run(name, call, end, right);
  print(name, kinds, microseconds, right && microseconds > 900 * kBlockedMs);
}

void Stage::measure(const char* name, const char* kinds, const std::function<bool()>& call) {
  bool right = false;
  const long long microseconds = run(name, call, {}, right);
  print(name, kinds, microseconds, right);
}

void Stage::skip(const char* name, const char* why) { std::printf("%s skipped: %s\n", name, why); }

}  // namespace blocking
