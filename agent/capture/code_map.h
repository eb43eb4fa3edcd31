// SPDX-License-Identifier: Apache-2.0
// The modules in which frames were seen, learnt from the addresses themselves (_dl_find_object: lock-free, signal-safe),
// so that no hook or handler ever takes the loader's lock. Append-only table, readable by any thread.
//
// Unloading: the dlclose hook brackets the real call with begin_unload()/end_unload(). While an unload runs, nobody looks
// up unwind tables (begin_unload waits until no walker is inside), so no walker can read a table that is being unmapped.
// If a module that was seen is gone afterwards, the generation rises: all cached rules and walks are void, and new stacks
// start from a new generation node, since addresses may now mean something else.
#pragma once
#include <atomic>
#include <cstdint>

#include "agent/capture/unwind_table.h"

namespace tailback::capture {

struct ModuleEntry {
  std::uint32_t id;             // 1, 2, ... never reused
  std::uint64_t start, end;     // mapped range
  std::uint64_t bias;           // address - bias = virtual address in the ELF file
  std::uint64_t eh_frame_hdr;   // absolute address, 0 none
  const char* path;             // owned by the table (copied), "[vdso]" for the vDSO, the executable's real path for the main program
  std::uint8_t build_id[32];
  std::uint32_t build_id_bytes;
  std::atomic<std::uint32_t> unloaded;  // 1 once the loader let go of it
  std::atomic<std::uint32_t> ready;     // 1 once all other fields are written
  UnwindTable unwind;                   // empty: no usable unwind information
};

class CodeMap {
 public:
  static constexpr std::uint32_t kMaxModules = 4096;

  // Reserves memory. Call once, before any thread walks. `executable_path`: what to call the main program (it has no name).
  bool init(const char* executable_path);

  // The module around an address, registered when new; nullptr when the address is in no module (JIT code), when an unload
  // is running, or when the table is full. Signal-safe, lock-free.
  // Two threads that meet a new module at the same moment may leave it in the table twice.
  const ModuleEntry* find(std::uint64_t address);

  // Whether the loader knows a module around the address; tells JIT code from the other reasons for which find() fails.
  static bool in_module(std::uint64_t address);

  std::uint32_t count() const;                    // entries 0..count()-1 are published
  const ModuleEntry& entry(std::uint32_t index) const;
  std::uint32_t generation() const { return generation_.load(std::memory_order_acquire); }

  // For walkers: enter before looking anything up, leave after. enter() returns false while an unload runs: then only
  // what is cached may be used.
  bool enter();
  void leave();

  // For the dlclose hook. begin_unload waits (bounded) until no walker is inside; its own thread must not be inside.
  // The pair around nothing makes the map notice modules that went away without the hook.
  void begin_unload();
  void end_unload();

  // For the child after fork, where the tables are empty; walkers and unloads of threads that do not exist here are forgotten.
  void after_fork();

  std::uint64_t resident_bytes() const;

 private:
  ModuleEntry* add(const struct LoadedModule& module);
  const char* keep_name(const char* name);
  void publish();
  void notice_unloaded();

  static constexpr std::uint32_t kNameBytes = kMaxModules * 64;
  static constexpr std::uint32_t kChecking = 1u << 31;  // in unloading_: the last unload is being looked at

  ModuleEntry* entries_ = nullptr;
  char* names_ = nullptr;
  std::atomic<std::uint32_t> claimed_{0}, count_{0};
  std::atomic<std::uint32_t> names_used_{0};
  std::atomic<std::uint32_t> generation_{1};
  std::atomic<std::uint32_t> unloading_{0};
  std::atomic<std::uint32_t> walkers_{0};
  const char* executable_path_ = nullptr;
};

}  // namespace tailback::capture
