// SPDX-License-Identifier: Apache-2.0
// What a thread without an agent waits for, told from the system call that it is inside of and the functions that led there: locks of
// glibc by their layout in memory (bits/struct_mutex.h, bits/struct_rwlock.h), which names the owner.
#pragma once
#include <array>
#include <cstdint>

#include "analyzers/process_look.h"
#include "tools/live/proc_threads.h"

namespace tailback::tools {

// A futex that a thread waits on and what follows it, read while the process stands still.
struct FutexWords {
  std::array<std::uint32_t, 5> words{};
  bool read = false;

  static FutexWords of(const ThreadStatus& status);
  std::uint32_t at(std::size_t offset) const { return words[offset / sizeof words[0]]; }
};

// Fills call, object and owner of `look`, whose tid and frames are known.
void describe_wait(const analyzers::ProcessLook& process, const ThreadStatus& status, const FutexWords& futex, analyzers::ThreadLook& look);

}  // namespace tailback::tools
