// SPDX-License-Identifier: Apache-2.0
// A plugin in C++ for local_plugin.c: every form of operator new and delete, and an allocation that throws.
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace {

struct alignas(256) Wide {
  char bytes[256];
};

long thrown(std::size_t bytes) {
  try {
    std::unique_ptr<char[]> block(new char[bytes]);
    return block[0];
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

}  // namespace

extern "C" __attribute__((visibility("default"))) long plugin_work() {
  std::map<int, std::string> texts;
  for (int i = 0; i < 1000; ++i) texts[i] = std::string(static_cast<std::size_t>(i), 'x');
  long sum = 0;
  for (const auto& [key, text] : texts) sum += key + static_cast<long>(text.size());
  std::unique_ptr<Wide> wide(new Wide);
  std::unique_ptr<Wide[]> several(new Wide[3]);
  delete new (std::nothrow) int(1);
  delete[] new (std::nothrow) int[10];
  volatile std::size_t too_much = static_cast<std::size_t>(1) << 60;
  return sum + thrown(too_much) + static_cast<long>(reinterpret_cast<std::size_t>(wide.get()) % alignof(Wide));
}
