// SPDX-License-Identifier: Apache-2.0
// A configuration file in TOML: the long names of the options at the top level, thresholds of rules below [rules].
// Throws Failure naming file, line and remedy.
#pragma once
#include <string>
#include <vector>

namespace tailback::tools {

struct ConfigEntry {
  std::string name;   // with dashes, as the long option
  std::string value;  // as it would be typed
  unsigned line = 0;
};

struct ConfigFile {
  std::vector<ConfigEntry> entries;
  std::string rule_thresholds;  // names below [rules], joined by ", "
};

ConfigFile read_config_file(const std::string& path);

}  // namespace tailback::tools
