// SPDX-License-Identifier: Apache-2.0
// Looks at a program before it starts: what will really be executed (PATH, #! lines), whether the loader will take the
// preloaded library along, and what a recording will not see. Judges only; starts nothing.
#pragma once
#include <string>
#include <vector>

#include "tools/elf_check/elf_file.h"

namespace tailback::tools {

struct Remark {
  std::string what;    // what will not be seen, and why
  std::string remedy;  // what to do about it
};

struct ProgramCheck {
  std::string found;                 // path that PROGRAM resolves to; empty: not found
  int not_executable = 0;            // errno when it is there but cannot be executed
  std::vector<std::string> scripts;  // files with a #! line, outermost first
  std::string image;                 // the file whose code runs in the end
  ElfFacts elf;                      // of the image
  bool drops_preload = false;        // the recording will hold nothing of this program
  bool refuses_preload = false;      // its loader would complain or fail: LD_PRELOAD must not name the library
  bool secure_mode = false;          // setuid, setgid or file capabilities: the loader distrusts the environment
  std::vector<Remark> remarks;       // the ones that prevent recording first
};

ProgramCheck check_program(const std::string& program);

// The path a shell would execute for `name`; empty when there is none. `error`: ENOENT or why it cannot be executed.
std::string find_program(const std::string& name, int& error);

}  // namespace tailback::tools
