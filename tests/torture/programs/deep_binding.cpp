// SPDX-License-Identifier: Apache-2.0
// deep_binding LIBRARY: blocks of the program are resized and freed by a library that binds past it, and the other way round. With
// one allocator for both that is allowed, and whoever wraps malloc sees only half of each block's life.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

namespace {

template <class Function>
Function symbol(void* library, const char* name) {
  return reinterpret_cast<Function>(dlsym(library, name));
}

}  // namespace

int main(int argc, char** argv) {
  void* library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND) : nullptr;
  if (!library) return 2;
  const auto allocate = symbol<void* (*)(std::size_t)>(library, "deep_bound_allocate");
  const auto resize = symbol<void* (*)(void*, std::size_t)>(library, "deep_bound_resize");
  const auto release = symbol<void (*)(void*)>(library, "deep_bound_free");
  if (!allocate || !resize || !release) return 2;
  int blocks = 0;
  for (std::size_t bytes = 1; bytes < 200'000; bytes += 97) {
    release(std::malloc(bytes));
    std::free(allocate(bytes));
    release(std::realloc(allocate(bytes), 2 * bytes));
    std::free(resize(std::malloc(bytes), 3 * bytes));
    blocks += 4;
  }
  dlclose(library);
  std::printf("blocks %d\n", blocks);
}
