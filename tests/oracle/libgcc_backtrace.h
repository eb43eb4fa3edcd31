// SPDX-License-Identifier: Apache-2.0
// libgcc's unwinder as an oracle: the one that runs C++ exceptions. Allocates nothing, so handlers may use it.
#pragma once
#include <dlfcn.h>
#include <unwind.h>

#include "tests/oracle/oracle.h"

namespace tailback::oracle {

inline _Unwind_Reason_Code libgcc_frame(_Unwind_Context* context, void* data) {
  int exact = 0;
  const std::uint64_t pc = _Unwind_GetIPInfo(context, &exact);
  if (pc != 0) static_cast<Frames*>(data)->add(exact ? pc : pc - 1);
  return _URC_NO_REASON;
}

// Inlined, so that the first frame is the caller's.
__attribute__((always_inline)) inline void libgcc_walk(Frames& frames) { _Unwind_Backtrace(libgcc_frame, &frames); }

// The callback type of compare_*(): drops its own frame.
__attribute__((noinline)) inline void libgcc_backtrace(Frames& frames) {
  libgcc_walk(frames);
  if (frames.count == 0) return;
  --frames.count;
  std::memmove(frames.look, frames.look + 1, frames.count * sizeof frames.look[0]);
}

// Where libgcc's own code lies. While it lands in a handler it rewrites the frames it stands on: nobody can walk those, and it
// crashes on them itself.
inline capture::StackBounds libgcc_code() {
  dl_find_object found;
  if (_dl_find_object(reinterpret_cast<void*>(&_Unwind_RaiseException), &found) != 0) return {0, 0};
  return {reinterpret_cast<std::uint64_t>(found.dlfo_map_start), reinterpret_cast<std::uint64_t>(found.dlfo_map_end)};
}

}  // namespace tailback::oracle
