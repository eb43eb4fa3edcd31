// SPDX-License-Identifier: Apache-2.0
// Brings stacks into the dump on demand: a node the first time a record refers to it, its ancestors before it, and the module
// and unwind range of each address. Under the drain lock; signal-safe.
#pragma once
#include <cstdint>

#include "agent/capture/unwind.h"
#include "agent/engine/dump_file.h"

namespace tailback::engine {

class StackWriter {
 public:
  bool init(capture::CodeMap& code, capture::StackTable& stacks, capture::Unwinder& unwinder, DumpFile& dump, std::uint32_t max_nodes);

  // After this the node `id` and all its ancestors are in the dump (or the dump is full).
  void write(capture::StackId id);
  // The module around an address outside the stacks (start routines).
  void write_code(std::uint64_t address);
  // Unloads since the last call, stamped with `now_ns` since the start.
  void write_unloads(std::uint64_t now_ns);
  // A new dump: nothing is in it yet.
  void reset();

  // An address outside all modules was written since the last call: executable memory should be listed.
  bool take_unknown_code();
  std::uint64_t resident_bytes() const;

 private:
  bool first_time(std::uint64_t* bits, std::uint32_t index);
  void write_node(capture::StackId id, const capture::StackNode& node);
  const capture::ModuleEntry* module_of(std::uint64_t address);
  void write_module(const capture::ModuleEntry& module, std::uint32_t index);
  void write_range(std::uint64_t address, std::uint32_t module);
  void write_vdso_symbols(std::uint32_t module);

  capture::CodeMap* code_ = nullptr;
  capture::StackTable* stacks_ = nullptr;
  capture::Unwinder* unwinder_ = nullptr;
  DumpFile* dump_ = nullptr;
  std::uint32_t max_nodes_ = 0;
  std::uint64_t* nodes_written_ = nullptr;    // one bit each
  std::uint64_t* modules_written_ = nullptr;
  std::uint64_t* unloads_written_ = nullptr;
  std::uint64_t* ranges_ = nullptr;           // open-addressing set of range starts
  std::uint32_t ranges_used_ = 0;
  std::uint32_t last_module_ = 0;
  bool unknown_code_ = false;
  capture::StackId path_[capture::kMaxFrames + 4] = {};
};

}  // namespace tailback::engine
