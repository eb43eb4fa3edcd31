// SPDX-License-Identifier: Apache-2.0
// Work to be interrupted: libc, libstdc++ and libm code of many shapes, system calls, the vDSO, exceptions, allocation.
#pragma once
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tests/oracle/random_calls.h"

namespace tailback::oracle {

inline volatile double sink;
inline std::size_t most_bytes = 300'000;

inline int compare_ints(const void* left, const void* right) {
  const int a = *static_cast<const int*>(left), b = *static_cast<const int*>(right);
  return (a > b) - (a < b);
}

inline void sort_some() {
  int numbers[64];
  for (auto& number : numbers) number = static_cast<int>(RandomCalls::random());
  std::qsort(numbers, 64, sizeof numbers[0], compare_ints);
  std::sort(std::begin(numbers), std::end(numbers), [](int a, int b) { return b < a; });
}

inline void format_some() {
  char text[128];
  std::snprintf(text, sizeof text, "%.17g %s %lx", std::sqrt(RandomCalls::random()), "text", static_cast<long>(RandomCalls::random()));
  sink = std::strtod(text, nullptr);
  std::ostringstream stream;
  stream << sink << text;
  sink = static_cast<double>(stream.str().size());
}

inline void allocate_some() {
  std::map<std::string, int> map;
  for (int i = 0; i < 20; ++i) map[std::to_string(RandomCalls::random() % 100)] = i;
  std::vector<char> bytes(RandomCalls::random() % most_bytes, 'x');
  std::vector<char> more(bytes);
  std::memmove(more.data(), bytes.data(), bytes.size());
  sink = static_cast<double>(map.size()) + (bytes.empty() ? 0 : more[bytes.size() / 2]);
}

inline void ask_clocks() {
  timespec time;
  for (int i = 0; i < 50; ++i) clock_gettime(CLOCK_MONOTONIC, &time);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  sink = static_cast<double>(time.tv_nsec + getppid());
}

inline void compute_some() {
  double value = 1.5;
  for (int i = 0; i < 50; ++i) value = std::pow(std::fabs(std::sin(value)) + 0.5, 1.7) + std::exp(-value) + std::log1p(value);
  sink = value;
}

inline void throw_some() {
  try {
    throw std::to_string(RandomCalls::random());
  } catch (const std::string& text) {
    sink = static_cast<double>(text.size());
  }
}

inline void work() {
  switch (RandomCalls::random() % 6) {
    case 0: return sort_some();
    case 1: return format_some();
    case 2: return allocate_some();
    case 3: return ask_clocks();
    case 4: return compute_some();
    default: return throw_some();
  }
}

}  // namespace tailback::oracle
