// SPDX-License-Identifier: Apache-2.0
// The loader: only dlclose, whose caller does not matter to it. dlopen and dlsym are never intercepted: glibc judges them by
// their return address.
#include "agent/capture/scope.h"
#include "agent/engine/session.h"
#include "preload/real.h"

TAILBACK_HOOK int dlclose(void* handle) {
  const auto real_close = TAILBACK_REAL(dlclose);
  tailback::engine::session.wake_up();  // what a forked child knows of the code must not go stale
  if (!tailback::capture::recording()) return real_close(handle);
  auto& code = tailback::engine::session.code;
  code.begin_unload();
  const int result = real_close(handle);  // may run destructors of the program: no Scope, hooks work inside
  code.end_unload();
  return result;
}
