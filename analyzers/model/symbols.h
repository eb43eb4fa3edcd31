// SPDX-License-Identifier: Apache-2.0
// Addresses to functions, files and lines. One Symbols object serves one Recording; resolution is lazy, cached by
// (module, address) and indexed by unit, so that 10,000 distinct addresses of a 100 MB binary take under two seconds.
//
// Sources, in order: frame_info records of the dump; DWARF of the module or its separate debug file (build id, debuglink,
// alternate file), inline frames included, only when the file's build id is the recorded one; its symbol tables
// (.symtab, then .dynsym, only where the address lies inside the symbol's size); symbol records of the dump; perf map files
// for JIT code; else `module+0xSTART` of the unwind range. Never the nearest export.
// Threading: const after construction from the outside; internally locked, may be called from several threads.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "analyzers/finding.h"
#include "analyzers/model/recording.h"

namespace tailback::analyzers {

struct SymbolOptions {
  std::vector<std::string> debug_directories;  // besides /usr/lib/debug
  bool use_debuginfod = false;                 // only when DEBUGINFOD_URLS is set as well
  std::string perf_map_directory = "/tmp";     // where JIT runtimes write perf-PID.map
  bool debug_data = true;                      // false: the modules' own symbol tables only, at a small part of the time
};

using FunctionId = std::uint32_t;  // one for each distinct (module, function name); 0 unknown

// A frame as the tables hold it: small, comparable, its texts looked up by id.
struct SymbolFrame {
  FunctionId function = 0;
  std::uint32_t file = 0;  // file id, 0 none
  std::uint32_t line = 0;
  bool inlined = false;    // into the next frame outward
};

class Symbols {
 public:
  Symbols(const Recording& recording, SymbolOptions options);
  ~Symbols();
  Symbols(const Symbols&) = delete;
  Symbols& operator=(const Symbols&) = delete;

  // Frames at a node's address, innermost (most inlined) first; never empty. The span stays valid as long as the object.
  std::span<const SymbolFrame> frames(StackId node) const;
  // The same for an address outside the stack tree (start routines, vtables): resolves in the module that holds it.
  std::span<const SymbolFrame> frames_at(std::uint64_t address) const;
  // Name of the data symbol (vtable ...) at an address, demangled; empty when unknown.
  std::string data_symbol(std::uint64_t address) const;

  const std::string& function_name(FunctionId id) const;   // simplified for reading
  const std::string& full_name(FunctionId id) const;       // demangled in full
  const std::string& linkage_name(FunctionId id) const;    // mangled, or the full name where there is none
  const std::string& module_name(FunctionId id) const;     // base name of the module, empty for JIT
  ModuleId module_of(FunctionId id) const;
  const std::string& file_name(std::uint32_t file) const;
  bool resolved(FunctionId id) const;                      // false: it is a module+0x... placeholder
  std::size_t function_count() const;                      // ids are 1..function_count(); grows as frames resolve

  // The whole stack of a node as frames, innermost first, inline frames expanded.
  std::vector<Frame> stack(StackId node) const;
  Frame frame(StackId node, const SymbolFrame& frame) const;

  // Resolves many nodes at once, in parallel by module. Optional; makes later frames() calls cheap.
  void resolve_all(std::span<const StackId> nodes) const;

  // What could not be resolved and how to get the symbols ("libz.so.1: no symbols; install zlib1g-dbgsym or ...").
  std::vector<std::string> notes() const;
  double unresolved_fraction() const;  // of distinct addresses resolved so far

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Demangles C++ and Rust (v0 and legacy) names; other names come back unchanged. Bounded in time for hostile input.
std::string demangle(const std::string& name);
// For reading: without parameter lists, default template arguments, inline namespaces (std::__cxx11::basic_string<...> -> std::string).
std::string simplify_name(const std::string& demangled);

}  // namespace tailback::analyzers
