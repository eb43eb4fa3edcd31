// SPDX-License-Identifier: Apache-2.0
#include "tools/live/futex_waits.h"

#include <fmt/format.h>
#include <pthread.h>

#include <cstddef>
#include <string_view>

namespace tailback::tools {

namespace {

enum class Kind { mutex, rwlock, condition, semaphore, thread, barrier, once };

struct KnownFunction {
  const char* prefix;  // of the public name; the first that fits counts
  Kind kind;
  const char* call;  // what to say instead; nullptr: the name itself
};

constexpr KnownFunction kFunctions[] = {
    {"pthread_mutex_cond_lock", Kind::mutex, "pthread_cond_wait"},  // woken, and waiting for the mutex again
    {"pthread_mutex_", Kind::mutex, nullptr},
    {"pthread_rwlock_", Kind::rwlock, nullptr},
    {"pthread_cond_", Kind::condition, nullptr},
    {"sem_", Kind::semaphore, nullptr},
    {"new_sem_", Kind::semaphore, "sem_wait"},
    {"pthread_clockjoin_ex", Kind::thread, "pthread_join"},
    {"pthread_join", Kind::thread, nullptr},
    {"pthread_timedjoin", Kind::thread, nullptr},
    {"pthread_clockjoin", Kind::thread, nullptr},
    {"thrd_join", Kind::thread, nullptr},
    {"pthread_barrier_", Kind::barrier, nullptr},
    {"pthread_once", Kind::once, nullptr},
};

const KnownFunction* known(const std::string& name) {
  for (const KnownFunction& function : kFunctions)
    if (name.starts_with(function.prefix)) return &function;
  return nullptr;
}

constexpr std::size_t kMutexOwner = offsetof(pthread_mutex_t, __data.__owner);
constexpr std::size_t kWriter = offsetof(pthread_rwlock_t, __data.__cur_writer);
constexpr std::size_t kPhaseWord = offsetof(pthread_rwlock_t, __data.__wrphase_futex);
constexpr std::size_t kWritersWord = offsetof(pthread_rwlock_t, __data.__writers_futex);
static_assert(kMutexOwner == 8 && kPhaseWord == 8 && kWritersWord == 12 && kWriter == 24);

// Waits are on one of three words of the lock, which is aligned to 8: the count of readers (0), the phase (8), the writers (12).
// The phase is 0 to 3; the count, when somebody waits on it, has bit 2 set and the readers above.
std::uint64_t rwlock_base(std::uint64_t address, TargetMemory& memory) {
  constexpr std::uint32_t kHighestPhase = 3;
  if (address % 8 == 4) return address - kWritersWord;
  return memory.value<std::uint32_t>(address).value_or(0) > kHighestPhase ? address : address - kPhaseWord;
}

std::optional<std::uint32_t> nonzero(std::optional<std::uint32_t> word) { return word && *word != 0 ? word : std::nullopt; }

void describe(FutexWait& wait, Kind kind, std::uint64_t address, TargetMemory& memory) {
  switch (kind) {
    case Kind::mutex:
      wait.object = fmt::format("mutex 0x{:x}", address);
      wait.owner = nonzero(memory.value<std::uint32_t>(address + kMutexOwner));
      return;
    case Kind::rwlock: {
      const std::uint64_t base = rwlock_base(address, memory);
      wait.object = fmt::format("read-write lock 0x{:x}", base);
      wait.owner = nonzero(memory.value<std::uint32_t>(base + kWriter));
      return;
    }
    case Kind::thread:  // the word is the number of the thread, cleared by the kernel when it ends
      wait.owner = nonzero(memory.value<std::uint32_t>(address));
      wait.is_thread = wait.owner.has_value();
      return;
    case Kind::condition:  // where in the object the word is depends on the version of glibc
      wait.object = fmt::format("condition 0x{:x}", address);
      return;
    case Kind::semaphore:
      wait.object = fmt::format("semaphore 0x{:x}", address);
      return;
    case Kind::barrier:
      wait.object = fmt::format("barrier 0x{:x}", address);
      return;
    case Kind::once:
      wait.object = fmt::format("once 0x{:x}", address);
      return;
  }
}

}  // namespace

std::string public_name(const std::string& function) {
  std::string name = function.substr(0, function.find('@'));
  for (const std::string_view prefix : {"_", "GI_", "_", "libc_"})
    while (name.starts_with(prefix)) name.erase(0, prefix.size());
  for (const std::string_view suffix : {"64", "_full", "_common"})
    if (name.ends_with(suffix)) name.erase(name.size() - suffix.size());
  return name;
}

// The innermost known function tells the kind; the outermost of those in a row is the one that the program called.
FutexWait futex_wait(const std::vector<std::string>& functions, std::uint64_t address, TargetMemory& memory) {
  FutexWait wait;
  for (const std::string& function : functions) {
    const std::string name = public_name(function);
    const KnownFunction* found = known(name);
    if (!found && !wait.call.empty()) break;
    if (!found) continue;
    if (wait.call.empty()) describe(wait, found->kind, address, memory);
    wait.call = found->call ? found->call : name;
  }
  if (wait.call.empty()) wait.object = fmt::format("futex 0x{:x}", address);
  return wait;
}

}  // namespace tailback::tools
