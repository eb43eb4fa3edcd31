// SPDX-License-Identifier: Apache-2.0
#include "preload/allocator_lookup.h"

#include "preload/real.h"

namespace tailback::real {

namespace {

// Only in objects that were there from the start: a look-up that fails would set the loader's error state, which allocates.
template <class Function>
bool find(Function& into, const char* name, const void* of_allocator) {
  void* found = next_definition(name, gnu_hash(name));
  if (!found || !same_object(found, of_allocator)) return false;
  into = reinterpret_cast<Function>(found);
  return true;
}

}  // namespace

engine::AllocatorCalls allocator_calls() {
  using engine::AllocatorKind;
  engine::AllocatorCalls calls;
  calls.malloc = TAILBACK_REAL(malloc);
  calls.free = TAILBACK_REAL(free);
  const auto* own = reinterpret_cast<const void*>(calls.malloc);
  dl_find_object object;
  if (!own || _dl_find_object(reinterpret_cast<void*>(calls.malloc), &object) != 0) return calls;
  calls.object_start = reinterpret_cast<std::uint64_t>(object.dlfo_map_start);
  calls.object_end = reinterpret_cast<std::uint64_t>(object.dlfo_map_end);
  // tcmalloc and mimalloc define mallinfo2 too; what it says of them is less than their own functions do.
  if (find(calls.mallctl, "mallctl", own)) calls.kind = AllocatorKind::jemalloc;
  else if (find(calls.numeric_property, "MallocExtension_GetNumericProperty", own)) calls.kind = AllocatorKind::tcmalloc;
  else if (find(calls.process_info, "mi_process_info", own)) calls.kind = AllocatorKind::mimalloc;
  else if (same_object(own, reinterpret_cast<const void*>(TAILBACK_REAL(sigaction))) && find(calls.mallinfo2, "mallinfo2", own)) calls.kind = AllocatorKind::glibc;
  return calls;
}

}  // namespace tailback::real
