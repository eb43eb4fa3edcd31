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
  std::vector<ConfigEntry> rules;  // below [rules]
};

ConfigFile read_config_file(const std::string& path);

// Which files are read, the most important first: the one named by hand alone (`named`, or TAILBACK_CONFIG), else the current folder's and
// the user's own.
std::vector<std::string> config_files(const std::string& named);

}  // namespace tailback::tools
