/* SPDX-License-Identifier: Apache-2.0 */
/* local_plugin LIBRARY...: a program that knows nothing of C++ loads plugins written in it, each for itself alone, and twice: their
 * operators new and delete are in no scope that a preloaded library sees. It would use operator new if there were one. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((weak)) void* _Znwm(size_t bytes);

int main(int argc, char** argv) {
  if (_Znwm) free(_Znwm(100));
  for (int round = 0; round < 2; ++round) {
    for (int i = 1; i < argc; ++i) {
      void* plugin = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
      if (!plugin) return 2;
      long (*work)(void);
      *(void**)&work = dlsym(plugin, "plugin_work");
      if (!work) return 2;
      const long done = work();
      printf("plugin %d: %ld, errors %d, closed %d\n", i, done, dlerror() != NULL, dlclose(plugin));
    }
  }
  return 0;
}
