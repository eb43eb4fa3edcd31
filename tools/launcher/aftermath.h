// SPDX-License-Identifier: Apache-2.0
// What record does once the program has ended: completes the dumps, analyses them, prints the suggestions. Whatever goes
// wrong here is said and never changes the program's exit status.
#pragma once
#include <string>
#include <vector>

#include "tools/elf_check/program_check.h"
#include "analyzers/model/thresholds.h"
#include "tools/launcher/child.h"
#include "tools/launcher/output_pattern.h"

namespace tailback::tools {

struct Aftermath {
  const OutputPattern& output;
  const ChildResult& child;
  const ProgramCheck& program;
  const analyzers::Thresholds& thresholds;  // of rules
  bool quiet = false;
};

void complete_and_report(const Aftermath& recorded);

}  // namespace tailback::tools
