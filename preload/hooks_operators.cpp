// SPDX-License-Identifier: Apache-2.0
// operator new and delete. The C++ library's own come down to malloc and free, whose hooks see them; allocators that stand in for malloc
// (jemalloc, tcmalloc, mimalloc) bring operators that do not. Only theirs are looked at here.
//
// These hooks are in the global scope of every process, also of one that is no C++ program but loads C++ plugins later, each for itself
// alone: the plugins' operators then end here, and each gets the definition that it would have got (scoped_originals.h).
#include "preload/allocation_call.h"
#include "preload/real.h"
#include "preload/scoped_originals.h"

using tailback::capture::may_be_known;
using tailback::capture::passes_unseen;
using tailback::preload::AllocationCall;
using tailback::preload::FreeCall;
using tailback::preload::ScopedOriginals;

namespace {

// The original of an operator, and whether its object is the allocator's own. Kept when the program was started with it.
template <class Function>
[[gnu::cold, gnu::noinline]] Function find(Function& kept, bool& of_allocator, ScopedOriginals& scoped, const char* name, std::uint32_t hash, const void* caller) {
  void* found = scoped.used() ? nullptr : tailback::real::next_definition(name, hash);
  if (!found) return reinterpret_cast<Function>(scoped.find(name, caller));
  __atomic_store_n(&of_allocator, tailback::real::same_object(found, reinterpret_cast<const void*>(TAILBACK_REAL(malloc))), __ATOMIC_RELAXED);
  const auto function = reinterpret_cast<Function>(found);
  __atomic_store_n(&kept, function, __ATOMIC_RELEASE);
  return function;
}

}  // namespace

// Defines `function`, the original, and `own`: it is the allocator's own.
#define TAILBACK_OPERATOR(name)                                                                                                       \
  static constinit bool own = false;                                                                                                  \
  static constinit ScopedOriginals scoped;                                                                                            \
  auto function = __atomic_load_n(&tailback::real::name##_, __ATOMIC_ACQUIRE);                                                        \
  if (!function) [[unlikely]]                                                                                                         \
    function = find(tailback::real::name##_, own, scoped, #name, std::integral_constant<std::uint32_t, tailback::real::gnu_hash(#name)>::value, \
                    __builtin_return_address(0))

#define TAILBACK_NEW(name, parameters, arguments)       \
  TAILBACK_HOOK void* name parameters {                 \
    TAILBACK_OPERATOR(name);                            \
    if (!own || passes_unseen(bytes)) return function arguments; \
    AllocationCall call(bytes, TAILBACK_CALLER);        \
    return call.done(function arguments);               \
  }

#define TAILBACK_DELETE(name, parameters, arguments)    \
  TAILBACK_HOOK void name parameters {                  \
    TAILBACK_OPERATOR(name);                            \
    if (!own || !may_be_known(block)) return function arguments; \
    FreeCall call(block);                               \
    function arguments;                                 \
    call.done();                                        \
  }

TAILBACK_NEW(_Znwm, (std::size_t bytes), (bytes))
TAILBACK_NEW(_Znam, (std::size_t bytes), (bytes))
TAILBACK_NEW(_ZnwmRKSt9nothrow_t, (std::size_t bytes, const void* nothrow), (bytes, nothrow))
TAILBACK_NEW(_ZnamRKSt9nothrow_t, (std::size_t bytes, const void* nothrow), (bytes, nothrow))
TAILBACK_NEW(_ZnwmSt11align_val_t, (std::size_t bytes, std::size_t alignment), (bytes, alignment))
TAILBACK_NEW(_ZnamSt11align_val_t, (std::size_t bytes, std::size_t alignment), (bytes, alignment))
TAILBACK_NEW(_ZnwmSt11align_val_tRKSt9nothrow_t, (std::size_t bytes, std::size_t alignment, const void* nothrow), (bytes, alignment, nothrow))
TAILBACK_NEW(_ZnamSt11align_val_tRKSt9nothrow_t, (std::size_t bytes, std::size_t alignment, const void* nothrow), (bytes, alignment, nothrow))
TAILBACK_DELETE(_ZdlPv, (void* block), (block))
TAILBACK_DELETE(_ZdaPv, (void* block), (block))
TAILBACK_DELETE(_ZdlPvm, (void* block, std::size_t bytes), (block, bytes))
TAILBACK_DELETE(_ZdaPvm, (void* block, std::size_t bytes), (block, bytes))
TAILBACK_DELETE(_ZdlPvRKSt9nothrow_t, (void* block, const void* nothrow), (block, nothrow))
TAILBACK_DELETE(_ZdaPvRKSt9nothrow_t, (void* block, const void* nothrow), (block, nothrow))
TAILBACK_DELETE(_ZdlPvSt11align_val_t, (void* block, std::size_t alignment), (block, alignment))
TAILBACK_DELETE(_ZdaPvSt11align_val_t, (void* block, std::size_t alignment), (block, alignment))
TAILBACK_DELETE(_ZdlPvmSt11align_val_t, (void* block, std::size_t bytes, std::size_t alignment), (block, bytes, alignment))
TAILBACK_DELETE(_ZdaPvmSt11align_val_t, (void* block, std::size_t bytes, std::size_t alignment), (block, bytes, alignment))
TAILBACK_DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, (void* block, std::size_t alignment, const void* nothrow), (block, alignment, nothrow))
TAILBACK_DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, (void* block, std::size_t alignment, const void* nothrow), (block, alignment, nothrow))
