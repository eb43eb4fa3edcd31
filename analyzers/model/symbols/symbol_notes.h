// SPDX-License-Identifier: Apache-2.0
// Sentences that tell a reader how to get the symbols that were missing.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "analyzers/model/symbols/module_symbols.h"

namespace tailback::analyzers {

struct MissingSymbols {
  std::string path, build_id;
  ModuleSymbols::Status status;
  std::size_t addresses = 0;     // distinct ones without a name
  double weight_fraction = 0;    // of the recording's CPU samples that are inside such functions
};

// One note for each module, heaviest first. Asks dpkg for package names when it is installed, for two seconds at most.
std::vector<std::string> missing_symbol_notes(std::vector<MissingSymbols> missing);

// File -> Debian package by dpkg's database; files of no package are absent.
std::map<std::string, std::string> owning_packages(const std::vector<std::string>& paths);

}  // namespace tailback::analyzers
