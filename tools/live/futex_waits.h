// SPDX-License-Identifier: Apache-2.0
// What a futex stands for, told by the functions of the C library around the wait, and who owns it, as glibc keeps it in the
// object itself (x86-64; the layout of mutexes and read-write locks is part of its ABI).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/live/target_memory.h"

namespace tailback::tools {

struct FutexWait {
  std::string call;                    // "pthread_mutex_lock"; empty: no function of the C library that is known
  std::string object;                  // "mutex 0x55d0c8a3b1c0"
  std::optional<std::uint32_t> owner;  // number of a thread in the process's own pid namespace
  bool is_thread = false;              // the object is that thread itself: it is joined
};

// `functions`: names of the innermost frames, innermost first. `address`: of the word that is waited on.
FutexWait futex_wait(const std::vector<std::string>& functions, std::uint64_t address, TargetMemory& memory);

// "__GI___clock_nanosleep" -> "clock_nanosleep", "pthread_rwlock_rdlock_full64" -> "pthread_rwlock_rdlock": as a program calls
// it.
std::string public_name(const std::string& function);

}  // namespace tailback::tools
