// SPDX-License-Identifier: Apache-2.0
// One thing that tailback doctor looked at. Checks measure or read; they change nothing and need no privilege.
#pragma once
#include <string>
#include <vector>

namespace tailback::tools {

enum class Verdict { ok, limited, broken };  // limited: recording works, something will be missing

struct DoctorCheck {
  std::string id;  // stable, for --json
  Verdict verdict = Verdict::ok;
  std::string found;   // the figure or fact
  std::string effect;  // what it means for a recording; may be empty when ok
  std::string remedy;  // the command or change that helps; may be empty
};

using DoctorChecks = std::vector<DoctorCheck>;

DoctorChecks check_machine();                           // kernel, C library, clocks, limits, cgroup
DoctorChecks check_signals();                           // self-tests of what sampling rests on
DoctorChecks check_library();                           // is libtailback.so there, does it load
DoctorChecks check_target(const std::string& program);  // what can be seen of PROGRAM

std::string first_line_of(const std::string& path);  // empty when it cannot be read

}  // namespace tailback::tools
