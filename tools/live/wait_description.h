// SPDX-License-Identifier: Apache-2.0
// What a thread without an agent waits for, told from the system call that it is inside of and the functions that led there: locks of
// glibc by their layout in memory (bits/struct_mutex.h, bits/struct_rwlock.h), which names the owner.
#pragma once
#include <array>
#include <cstdint>

#include "analyzers/process_look.h"
#include "tools/live/proc_threads.h"

namespace tailback::tools {

// The words around a futex that a thread waits on, read while the process stands still.
struct FutexWords {
  static constexpr std::uint64_t kBefore = 16;
  std::array<std::uint32_t, 12> words{};
  bool read = false;

  static FutexWords of(pid_t pid, const ThreadStatus& status);
  std::uint32_t at(std::int64_t offset) const { return words[static_cast<std::size_t>(offset + static_cast<std::int64_t>(kBefore)) / 4]; }
};

// Fills call, object and owner of `look`, whose tid and frames are known.
void describe_wait(const analyzers::ProcessLook& process, const ThreadStatus& status, const FutexWords& futex, analyzers::ThreadLook& look);

}  // namespace tailback::tools
