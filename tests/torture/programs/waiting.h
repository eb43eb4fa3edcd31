// SPDX-License-Identifier: Apache-2.0
// What programs about waiting need: points in time, a gate for other threads, a folder of their own.
#pragma once
#include <errno.h>
#include <time.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace programs {

inline void sleep_ms(long ms) {
  timespec left{ms / 1000, ms % 1000 * 1'000'000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

inline timespec in_ms(clockid_t clock, long ms) {
  timespec at{};
  clock_gettime(clock, &at);
  at.tv_sec += ms / 1000;
  at.tv_nsec += ms % 1000 * 1'000'000;
  if (at.tv_nsec >= 1'000'000'000) at.tv_nsec -= 1'000'000'000, ++at.tv_sec;
  return at;
}

inline void require(bool good, const char* what) {
  if (good) return;
  std::perror(what);
  std::exit(2);
}

// Returns when the thread waits in the kernel, for which no fixed time is long enough on a busy machine, or is over; after five
// seconds anyway.
inline void await_waiting(pid_t thread) {
  const std::string path = "/proc/self/task/" + std::to_string(thread) + "/stat";
  for (int attempt = 0, seen = 0; attempt < 2500 && seen < 3; ++attempt) {
    sleep_ms(2);
    std::FILE* const file = std::fopen(path.c_str(), "r");
    char state = '?';
    if (!file || std::fscanf(file, "%*d (%*[^)]) %c", &state) != 1) seen = 3;
    if (file) std::fclose(file);
    if (seen < 3) seen = state == 'S' || state == 'D' ? seen + 1 : 0;
  }
}

// Threads pass when it is open; no lock that a recording could mix up with the one looked at.
class Gate {
 public:
  void open() { open_ = true; }
  void pass() const {
    while (!open_) sleep_ms(1);
  }

 private:
  std::atomic<bool> open_{false};
};

// On a disk; removed with all in it.
class Scratch {
 public:
  Scratch() {
    char name[] = "/var/tmp/torture-XXXXXX";
    require(mkdtemp(name), name);
    folder_ = name;
  }
  ~Scratch() { std::filesystem::remove_all(folder_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::string path(const char* name) const { return folder_ + "/" + name; }
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
};

}  // namespace programs
