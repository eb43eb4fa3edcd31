// SPDX-License-Identifier: Apache-2.0
// Its constructor runs before nearly all others and does what nobody expects that early: allocates, opens a library, throws, and
// starts a thread.
#include <dlfcn.h>
#include <pthread.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

extern "C" int early_start_steps();

namespace {

int steps = 0;

void* in_thread(void*) {
  std::free(std::malloc(10'000));
  return &steps;
}

void allocate() {
  void* block = std::realloc(std::calloc(3, 100), 5'000);
  steps += block != nullptr;
  std::free(block);
}

void open_library() {
  void* library = dlopen("libz.so.1", RTLD_NOW);
  steps += library && dlsym(library, "zlibVersion");
  steps += dlopen("libno_such_library.so", RTLD_NOW) == nullptr && dlerror() != nullptr;
  if (library) dlclose(library);
}

void throw_and_catch() {
  try {
    throw std::runtime_error(std::string(200, 'e'));
  } catch (const std::runtime_error& error) {
    steps += std::string(error.what()).size() == 200;
  }
}

void start_thread() {
  pthread_t thread;
  void* result = nullptr;
  if (pthread_create(&thread, nullptr, in_thread, nullptr) == 0) pthread_join(thread, &result);
  steps += result == &steps;
}

[[gnu::constructor(101)]] void start_early() {
  allocate();
  open_library();
  throw_and_catch();
  start_thread();
}

}  // namespace

int early_start_steps() { return steps; }
