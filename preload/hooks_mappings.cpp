// SPDX-License-Identifier: Apache-2.0
// Calls that change the address space: how long the kernel worked for them, on how much, from where. The C library's own, inside malloc
// and pthread_create, do not come by here.
#include "preload/call_timer.h"
#include "preload/real.h"

using tailback::preload::CallTimer;
using tailback::trace::Call;

#define MAPPING_CALL(result_type, name, call, parameters, arguments, failed) \
  TAILBACK_HOOK result_type name parameters {                               \
    const auto real_call = TAILBACK_REAL(name);                             \
    const CallTimer timer(Call::call);                                      \
    result_type result = real_call arguments;                               \
    timer.done(result == (failed) ? -1 : 1, bytes);                         \
    return result;                                                          \
  }

MAPPING_CALL(void*, mmap, map, (void* at, std::size_t bytes, int protection, int flags, int fd, off_t offset), (at, bytes, protection, flags, fd, offset), MAP_FAILED)
MAPPING_CALL(void*, mmap64, map, (void* at, std::size_t bytes, int protection, int flags, int fd, off64_t offset), (at, bytes, protection, flags, fd, offset),
             MAP_FAILED)
MAPPING_CALL(int, munmap, unmap, (void* at, std::size_t bytes), (at, bytes), -1)
MAPPING_CALL(int, madvise, advise, (void* at, std::size_t bytes, int advice), (at, bytes, advice), -1)
MAPPING_CALL(int, mprotect, protect, (void* at, std::size_t bytes, int protection), (at, bytes, protection), -1)

TAILBACK_HOOK void* mremap(void* at, std::size_t bytes, std::size_t new_bytes, int flags, ...) {
  const auto real_call = TAILBACK_REAL(mremap);
  va_list more;
  va_start(more, flags);
  void* new_at = flags & MREMAP_FIXED ? va_arg(more, void*) : nullptr;
  va_end(more);
  const CallTimer timer(Call::remap);
  void* result = real_call(at, bytes, new_bytes, flags, new_at);
  timer.done(result == MAP_FAILED ? -1 : 1, new_bytes);
  return result;
}

TAILBACK_HOOK int malloc_trim(std::size_t keep) {
  const auto real_call = TAILBACK_REAL(malloc_trim);
  const CallTimer timer(Call::trim);
  const int released = real_call(keep);
  timer.done(1);
  return released;
}
