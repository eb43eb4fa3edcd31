// SPDX-License-Identifier: Apache-2.0
// operator new and delete. The C++ library's own come down to malloc and free, whose hooks see them; allocators that stand in for malloc
// (jemalloc, tcmalloc, mimalloc) bring operators that do not. Only theirs are looked at here.
//
// A process whose allocator has none does not see these hooks (operator_scope.h), but for what was bound to them before.
#include "preload/allocation_call.h"
#include "preload/real.h"

using tailback::capture::may_be_known;
using tailback::capture::passes_unseen;
using tailback::preload::AllocationCall;
using tailback::preload::FreeCall;

namespace {

// The original of an operator, and whether its object is the allocator's own. `otherwise` where there is none, as in a program that is
// no C++ program but has a library with a weak reference to the operator.
template <class Function>
[[gnu::cold, gnu::noinline]] Function find(Function& kept, bool& of_allocator, const char* name, std::uint32_t hash, std::type_identity_t<Function> otherwise) {
  auto function = reinterpret_cast<Function>(tailback::real::resolve(name, hash));
  if (!function) return otherwise;
  __atomic_store_n(&of_allocator, tailback::real::same_object(reinterpret_cast<const void*>(function), reinterpret_cast<const void*>(TAILBACK_REAL(malloc))), __ATOMIC_RELAXED);
  __atomic_store_n(&kept, function, __ATOMIC_RELEASE);
  return function;
}

constexpr auto plain_new = [](std::size_t bytes, auto...) { return malloc(bytes); };
constexpr auto aligned_new = [](std::size_t bytes, std::size_t alignment, auto...) { return aligned_alloc(alignment, bytes); };
constexpr auto any_delete = [](void* block, auto...) { free(block); };

}  // namespace

// Defines `function`, the original, and `own`: it is the allocator's own.
#define TAILBACK_OPERATOR(name, otherwise)                                                                                             \
  static constinit bool own = false;                                                                                                   \
  auto function = __atomic_load_n(&tailback::real::name##_, __ATOMIC_ACQUIRE);                                                         \
  if (!function) [[unlikely]]                                                                                                          \
    function = find(tailback::real::name##_, own, #name, std::integral_constant<std::uint32_t, tailback::real::gnu_hash(#name)>::value, otherwise)

#define TAILBACK_NEW(name, parameters, arguments, otherwise) \
  TAILBACK_HOOK void* name parameters {                 \
    TAILBACK_OPERATOR(name, otherwise);                 \
    if (!own || passes_unseen(bytes)) return function arguments; \
    AllocationCall call(bytes, TAILBACK_CALLER);        \
    return call.done(function arguments);               \
  }

#define TAILBACK_DELETE(name, parameters, arguments)    \
  TAILBACK_HOOK void name parameters {                  \
    TAILBACK_OPERATOR(name, any_delete);                \
    if (!own || !may_be_known(block)) return function arguments; \
    FreeCall call(block);                               \
    function arguments;                                 \
    call.done();                                        \
  }

TAILBACK_NEW(_Znwm, (std::size_t bytes), (bytes), plain_new)
TAILBACK_NEW(_Znam, (std::size_t bytes), (bytes), plain_new)
TAILBACK_NEW(_ZnwmRKSt9nothrow_t, (std::size_t bytes, const void* nothrow), (bytes, nothrow), plain_new)
TAILBACK_NEW(_ZnamRKSt9nothrow_t, (std::size_t bytes, const void* nothrow), (bytes, nothrow), plain_new)
TAILBACK_NEW(_ZnwmSt11align_val_t, (std::size_t bytes, std::size_t alignment), (bytes, alignment), aligned_new)
TAILBACK_NEW(_ZnamSt11align_val_t, (std::size_t bytes, std::size_t alignment), (bytes, alignment), aligned_new)
TAILBACK_NEW(_ZnwmSt11align_val_tRKSt9nothrow_t, (std::size_t bytes, std::size_t alignment, const void* nothrow), (bytes, alignment, nothrow), aligned_new)
TAILBACK_NEW(_ZnamSt11align_val_tRKSt9nothrow_t, (std::size_t bytes, std::size_t alignment, const void* nothrow), (bytes, alignment, nothrow), aligned_new)
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
