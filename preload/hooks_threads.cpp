// SPDX-License-Identifier: Apache-2.0
// Threads: each new one starts in the agent's first frame, which arms its CPU timer, and tells its last figures at its end.
#include "agent/capture/scope.h"
#include "agent/engine/session.h"
#include "preload/real.h"
#include "preload/thread_trampoline.h"

using tailback::capture::Scope;
using tailback::capture::ThreadBlock;
using tailback::engine::session;

namespace {

std::uint64_t stack_bytes(const pthread_attr_t* attributes) {
  std::size_t size = 0;
  if (attributes) {
    TAILBACK_REAL_OF(pthread_attr_getstacksize)(attributes, &size);
    return size;
  }
  pthread_attr_t defaults;
  if (TAILBACK_REAL_OF(pthread_getattr_default_np)(&defaults) != 0) return 0;
  TAILBACK_REAL_OF(pthread_attr_getstacksize)(&defaults, &size);
  TAILBACK_REAL_OF(pthread_attr_destroy)(&defaults);
  return size;
}

}  // namespace

tailback_thread_entry tailback_thread_begin(void* block) {
  auto* thread = static_cast<ThreadBlock*>(block);
  const tailback_thread_entry entry{thread->entry, thread->entry_argument};
  session.begin_thread(thread);
  return entry;
}

void tailback_thread_end(void*) { session.end_thread(); }

TAILBACK_HOOK int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*routine)(void*), void* argument) {
  const auto real_create = TAILBACK_REAL(pthread_create);
  session.wake_up();
  const Scope scope;
  ThreadBlock* block = scope.on() ? session.prepare_thread(scope, routine, argument, stack_bytes(attributes)) : nullptr;
  if (!block) return real_create(thread, attributes, routine, argument);
  const int result = real_create(thread, attributes, tailback_thread_main, block);
  if (result != 0) session.cancel_thread(block);
  return result;
}

TAILBACK_HOOK int thrd_create(thrd_t* thread, thrd_start_t routine, void* argument) {
  const auto real_create = TAILBACK_REAL(thrd_create);
  session.wake_up();
  const Scope scope;
  const auto entry = reinterpret_cast<void* (*)(void*)>(reinterpret_cast<void (*)()>(routine));
  ThreadBlock* block = scope.on() ? session.prepare_thread(scope, entry, argument, stack_bytes(nullptr)) : nullptr;
  if (!block) return real_create(thread, routine, argument);
  const int result = real_create(thread, tailback_c11_thread_main, block);
  if (result != thrd_success) session.cancel_thread(block);
  return result;
}

// The end of other threads is seen by their first frame; the main thread has none.
TAILBACK_HOOK void pthread_exit(void* result) {
  const auto real_exit = TAILBACK_REAL(pthread_exit);
  session.main_thread_leaves();
  real_exit(result);
  __builtin_unreachable();
}
