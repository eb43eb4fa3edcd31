// SPDX-License-Identifier: Apache-2.0
// The allocation functions of the C library or whatever allocator stands in for it. The allocator is never replaced, its blocks are its
// own. A call that is not looked at costs a subtraction, a free a look at one byte (agent/capture/allocations.h).
// reallocarray, strdup and their kin come here by themselves: they call malloc and realloc through the library's import slots.
#include <malloc.h>

#include "preload/allocation_call.h"
#include "preload/real.h"

using tailback::capture::may_be_known;
using tailback::capture::passes_unseen;
using tailback::preload::AllocationCall;
using tailback::preload::FreeCall;
using tailback::preload::ReallocationCall;

namespace {

// The slow ways stand apart, so that the quick ones are a few instructions and a jump: with that jump, what called the hook is what
// called these. `first_`: the original is not known yet.
[[gnu::noinline, gnu::cold]] void* first_malloc(std::size_t bytes) { return TAILBACK_REAL(malloc)(bytes); }
[[gnu::noinline, gnu::cold]] void* first_calloc(std::size_t count, std::size_t each) { return TAILBACK_REAL(calloc)(count, each); }
[[gnu::noinline, gnu::cold]] void first_free(void* block) { TAILBACK_REAL(free)(block); }
[[gnu::noinline, gnu::cold]] void* first_realloc(void* block, std::size_t bytes) { return TAILBACK_REAL(realloc)(block, bytes); }

[[gnu::noinline]] void* seen_malloc(std::size_t bytes) {
  AllocationCall call(bytes, TAILBACK_CALLER);
  return call.done(TAILBACK_REAL(malloc)(bytes));
}

[[gnu::noinline]] void* seen_calloc(std::size_t count, std::size_t each) {
  AllocationCall call(count * each, TAILBACK_CALLER);
  return call.done(TAILBACK_REAL(calloc)(count, each));
}

[[gnu::noinline]] void seen_free(void* block) {
  FreeCall call(block);
  TAILBACK_REAL(free)(block);
  call.done();
}

[[gnu::noinline]] void* seen_realloc(void* block, std::size_t bytes) {
  ReallocationCall call(block, bytes, TAILBACK_CALLER);
  return call.done(TAILBACK_REAL(realloc)(block, bytes));
}

}  // namespace

TAILBACK_HOOK void* malloc(std::size_t bytes) {
  if (!passes_unseen(bytes)) [[unlikely]] return seen_malloc(bytes);
  const auto known = TAILBACK_KNOWN(malloc);
  return known ? known(bytes) : first_malloc(bytes);
}

TAILBACK_HOOK void free(void* block) {
  if (may_be_known(block)) [[unlikely]] return seen_free(block);
  const auto known = TAILBACK_KNOWN(free);
  known ? known(block) : first_free(block);
}

TAILBACK_HOOK void* calloc(std::size_t count, std::size_t each) {
  std::size_t bytes;
  if (!__builtin_mul_overflow(count, each, &bytes) && !passes_unseen(bytes)) [[unlikely]] return seen_calloc(count, each);
  const auto known = TAILBACK_KNOWN(calloc);
  return known ? known(count, each) : first_calloc(count, each);
}

TAILBACK_HOOK void* realloc(void* block, std::size_t bytes) {
  if (may_be_known(block) || !passes_unseen(bytes)) [[unlikely]] return seen_realloc(block, bytes);
  const auto known = TAILBACK_KNOWN(realloc);
  return known ? known(block, bytes) : first_realloc(block, bytes);
}

TAILBACK_HOOK void* memalign(std::size_t alignment, std::size_t bytes) {
  AllocationCall call(bytes, TAILBACK_CALLER);
  return call.done(TAILBACK_REAL(memalign)(alignment, bytes));
}

TAILBACK_HOOK void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  AllocationCall call(bytes, TAILBACK_CALLER);
  return call.done(TAILBACK_REAL(aligned_alloc)(alignment, bytes));
}

TAILBACK_HOOK int posix_memalign(void** block, std::size_t alignment, std::size_t bytes) {
  AllocationCall call(bytes, TAILBACK_CALLER);
  const int error = TAILBACK_REAL(posix_memalign)(block, alignment, bytes);
  if (error == 0) call.done(*block);
  return error;
}

TAILBACK_HOOK void* valloc(std::size_t bytes) {
  AllocationCall call(bytes, TAILBACK_CALLER);
  return call.done(TAILBACK_REAL(valloc)(bytes));
}

TAILBACK_HOOK void* pvalloc(std::size_t bytes) {
  AllocationCall call(bytes, TAILBACK_CALLER);
  return call.done(TAILBACK_REAL(pvalloc)(bytes));
}
