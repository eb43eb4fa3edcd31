// SPDX-License-Identifier: Apache-2.0
#include "preload/real.h"

#include "agent/capture/dormant.h"

namespace tailback::real {

#define HOOK(name) TAILBACK_DORMANT_DATA constinit decltype(&::name) name##_ = nullptr;
#include "preload/hooks.def"
#undef HOOK

// dlsym may set its error state (an allocation) only for names that are missing; all of these are in glibc >= 2.35.
void* resolve(const char* name, std::uint32_t hash) {
  void* found = next_definition(name, hash);
  return found ? found : dlsym(RTLD_NEXT, name);
}

}  // namespace tailback::real
