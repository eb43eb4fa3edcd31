// SPDX-License-Identifier: Apache-2.0
#include "tools/options/config_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include "tools/command.h"

namespace tailback::tools {

namespace {

constexpr std::size_t kLongestFile = 1 << 20;

std::string text_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in)
    throw Failure(kWrongUsage,
                  fmt::format("cannot read the configuration file {}: {}; check its path and mode", path, std::strerror(errno)));
  std::string text(kLongestFile + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kLongestFile)
    throw Failure(kWrongUsage, fmt::format("the configuration file {} is larger than 1 MiB; is it the right file?", path));
  return text;
}

std::string value_text(const toml::node& node, const std::string& origin) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "yes" : "no";
  throw Failure(kWrongUsage, origin + ": takes a text, a number or true/false");
}

}  // namespace

ConfigFile read_config_file(const std::string& path) {
  toml::table table;
  try {
    table = toml::parse(text_of(path), path);
  } catch (const toml::parse_error& error) {
    throw Failure(kWrongUsage, fmt::format("{}:{}: not valid TOML: {}", path, error.source().begin.line, error.description()));
  }
  ConfigFile file;
  for (const auto& [key, node] : table) {
    std::string name(key.str());
    std::replace(name.begin(), name.end(), '_', '-');
    const unsigned line = node.source().begin.line;
    if (const auto* rules = node.as_table(); rules && name == "rules") {
      for (const auto& [rule, threshold] : *rules) {
        (void)threshold;
        file.rule_thresholds += (file.rule_thresholds.empty() ? "" : ", ") + std::string(rule.str());
      }
      continue;
    }
    file.entries.push_back({name, value_text(node, fmt::format("{}:{}: {}", path, line, name)), line});
  }
  return file;
}

}  // namespace tailback::tools
