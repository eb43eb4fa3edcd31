// SPDX-License-Identifier: Apache-2.0
// A library whose calls leave it through the procedure linkage table. Built once for each kind of table.
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {
volatile long total;
}

extern "C" __attribute__((visibility("default"))) void call_others() {
  char text[64];
  std::snprintf(text, sizeof text, "%d", std::abs(-3));
  total = total + std::atoi(text) + static_cast<long>(std::strlen(text)) + std::labs(std::strtol("-42", nullptr, 10));
  void* memory = std::malloc(100);
  std::memset(memory, 1, 100);
  void* more = std::realloc(memory, 300);
  std::free(more);
  total = total + std::strncmp(text, "3x", 2) + std::rand();
}
