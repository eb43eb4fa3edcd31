// SPDX-License-Identifier: Apache-2.0
#include "tools/options/config_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
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
        const unsigned at = threshold.source().begin.line;
        file.rules.push_back({std::string(rule.str()), value_text(threshold, fmt::format("{}:{}: {}", path, at, rule.str())), at});
      }
      continue;
    }
    file.entries.push_back({name, value_text(node, fmt::format("{}:{}: {}", path, line, name)), line});
  }
  return file;
}

std::vector<std::string> config_files(const std::string& named) {
  if (!named.empty()) return {named};
  if (const char* by_environment = std::getenv("TAILBACK_CONFIG"); by_environment && *by_environment) return {by_environment};
  std::vector<std::string> files;
  if (::access("./.tailback.toml", F_OK) == 0) files.emplace_back("./.tailback.toml");
  const char* xdg = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  const std::string folder = xdg && *xdg ? xdg : home && *home ? std::string(home) + "/.config" : "";
  const std::string own = folder + "/tailback/config.toml";
  if (!folder.empty() && ::access(own.c_str(), F_OK) == 0) files.push_back(own);
  return files;
}

}  // namespace tailback::tools
