// SPDX-License-Identifier: Apache-2.0
// Names of PLT stubs: a stub jumps through a GOT slot, and the slot's relocation names the function. Read from the module's
// own file; x86-64 only, other machines give no names.
#pragma once
#include <cstdint>
#include <map>
#include <string>

#include "analyzers/model/symbols/elf_file.h"

namespace tailback::analyzers {

class PltNames {
 public:
  explicit PltNames(const ElfFile& file);
  // The mangled name of the function the stub at the address jumps to; empty when the address lies in no such stub.
  std::string target(std::uint64_t address) const;

 private:
  void read_relocations(const ElfSection& section);
  void read_stubs(const ElfSection& section);

  const ElfFile& file_;
  std::map<std::uint64_t, std::string> slots_;  // GOT slot -> name
  struct Stub {
    std::uint64_t end;
    std::string name;
  };
  std::map<std::uint64_t, Stub> stubs_;  // by start
};

}  // namespace tailback::analyzers
