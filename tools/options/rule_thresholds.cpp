// SPDX-License-Identifier: Apache-2.0
#include "tools/options/rule_thresholds.h"

#include <fmt/format.h>

#include <charconv>

#include "tools/command.h"
#include "tools/options/config_file.h"

namespace tailback::tools {

namespace {

std::string known_names() {
  std::string names;
  for (const analyzers::ThresholdInfo& info : analyzers::all_thresholds()) names += (names.empty() ? "" : ", ") + info.name;
  return names;
}

double number_of(const ConfigEntry& entry, const std::string& origin) {
  double value = 0;
  const char* end = entry.value.data() + entry.value.size();
  const auto [stop, error] = std::from_chars(entry.value.data(), end, value);
  if (error != std::errc{} || stop != end || !(value >= 0)) throw Failure(kWrongUsage, fmt::format("{} = {}: takes a number from 0 on", origin, entry.value));
  return value;
}

}  // namespace

analyzers::Thresholds rule_thresholds(const std::string& named) {
  analyzers::Thresholds thresholds;
  const std::vector<std::string> files = config_files(named);
  for (auto path = files.rbegin(); path != files.rend(); ++path) {  // the most important last
    for (const ConfigEntry& entry : read_config_file(*path).rules) {
      const std::string origin = fmt::format("{}:{}: {}", *path, entry.line, entry.name);
      if (!thresholds.set(entry.name, number_of(entry, origin)))
        throw Failure(kWrongUsage, fmt::format("{} is no threshold of this version; there are: {}", origin, known_names()));
    }
  }
  return thresholds;
}

}  // namespace tailback::tools
