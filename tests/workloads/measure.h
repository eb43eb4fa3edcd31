// SPDX-License-Identifier: Apache-2.0
// What each workload prints about itself: one line of name=value pairs, the figures an outside observer would take. The
// checksum shows that bad and fixed did the same work.
#pragma once
#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace workload {

inline double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// CPU seconds of the process so far.
inline double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Bytes in the line `name` of /proc/self/status: VmRSS is resident memory now, VmHWM its peak (of this program alone, which
// ru_maxrss is not: that begins with what the process had before exec).
inline double memory_bytes(const char* name) {
  std::FILE* status = std::fopen("/proc/self/status", "re");
  double kibibytes = 0;
  for (char line[256]; status && std::fgets(line, sizeof line, status);)
    if (std::strncmp(line, name, std::strlen(name)) == 0) kibibytes = std::atof(line + std::strlen(name) + 1);
  if (status) std::fclose(status);
  return kibibytes * 1024;
}

// Bijective mixing of 64 bits: work that cannot be folded away.
inline std::uint64_t mix(std::uint64_t x) {
  x ^= x >> 31, x *= 0x7fb5d329728ea185ull;
  x ^= x >> 27, x *= 0x81dadef4bc2dd44dull;
  return x ^ (x >> 33);
}

// A workload that cannot do its work must not look like a fast one.
inline void require(bool good, const char* what) {
  if (good) return;
  std::perror(what);
  std::exit(1);
}

// Runs `bad` or `fixed` as argv[1] says and prints the figures. `latency`: mean seconds of a task, where the workload has tasks.
// Memory is looked at when the work is done: what should still be resident then must outlive the function.
template <class Bad, class Fixed>
int run(int argc, char** argv, Bad bad, Fixed fixed) {
  const bool is_bad = argc > 1 && std::strcmp(argv[1], "bad") == 0, is_fixed = argc > 1 && std::strcmp(argv[1], "fixed") == 0;
  if (!is_bad && !is_fixed) {
    std::fprintf(stderr, "usage: %s bad|fixed\n", argv[0]);
    return 2;
  }
  double latency = 0;
  const double start = now();
  const std::uint64_t checksum = is_bad ? bad(latency) : fixed(latency);
  const double wall = now() - start;
  const double resident = memory_bytes("VmRSS"), peak = memory_bytes("VmHWM");
  std::printf("variant=%s wall=%.4f cpu=%.4f latency=%.6f resident=%.0f peak=%.0f checksum=%016llx\n", argv[1], wall, cpu_seconds(), latency, resident, peak,
              static_cast<unsigned long long>(checksum));
  return 0;
}

}  // namespace workload
