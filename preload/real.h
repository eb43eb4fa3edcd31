// SPDX-License-Identifier: Apache-2.0
// The originals of the hooked functions: real::pthread_create(...) and so on, typed by their declarations. Resolved all at
// once, the first time any hook needs one, to the next definition after this library. A hook does not know how it was
// reached; when it is reached without preloading (patched import slots), the next definition is libc's just the same.
// A function that this libc lacks is nullptr and its hook cannot have been called.
#pragma once
#include <dlfcn.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <threads.h>
#include <unistd.h>

extern "C" {
// Declared by <signal.h> under other feature macros only.
sighandler_t bsd_signal(int signal, sighandler_t handler);
int execveat(int dir, const char* path, char* const arguments[], char* const environment[], int flags);
}

namespace tailback::real {

#define HOOK(name) extern decltype(&::name) name##_;
#include "preload/hooks.def"
#undef HOOK

void resolve_all();

inline bool resolved() { return pthread_create_ != nullptr; }

}  // namespace tailback::real

// real(name) is the original, resolved on the way when a hook runs before any constructor did.
#define TAILBACK_REAL(name) (::tailback::real::resolved() ? (void)0 : ::tailback::real::resolve_all(), ::tailback::real::name##_)

#define TAILBACK_HOOK extern "C" __attribute__((visibility("default")))
