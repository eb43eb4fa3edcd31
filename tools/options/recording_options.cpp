// SPDX-License-Identifier: Apache-2.0
#include "tools/options/recording_options.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <stdexcept>

#include "tools/command.h"
#include "tools/options/config_file.h"
#include "tools/options/values.h"

namespace tailback::tools {

const std::vector<RecordingOption>& recording_options() {
  static const std::vector<RecordingOption> table = {
      {"output", "-o", "PATH", "the dump: %p pid, %e program, %h host, %% percent [tailback.%e.%p.tbk]", path_value},
      {"frequency", "-F", "HZ", "CPU samples for each thread and second of CPU time [199]", frequency_value},
      {"alloc", "", "MODE", "allocations: off, sampled or exact [sampled]", alloc_value},
      {"alloc-interval", "", "BYTES", "mean bytes between two sampled allocations [524288]", bytes_value},
      {"locks", "", "MODE", "waiting for locks: off, on or order [order]", locks_value},
      {"io", "", "MODE", "waiting and I/O: off or on [on]", on_off_value},
      {"duration", "", "S", "stop recording after so many seconds [at the end of the program]", seconds_value},
      {"delay", "", "S", "start recording after so many seconds [0]", seconds_value},
      {"follow-children", "", "yes|no", "record child processes too, a dump for each [yes]", yes_no_value},
      {"max-size", "", "BYTES", "bytes of a dump at most [1G]", dump_size_value},
  };
  return table;
}

std::string environment_name(const RecordingOption& option) {
  std::string name = "TAILBACK_";
  for (const char* c = option.name; *c; ++c) name += *c == '-' ? '_' : static_cast<char>(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
  return name;
}

void RecordingOptions::declare(CLI::App& app) {
  for (const RecordingOption& option : recording_options()) {
    const std::string flags = (*option.short_flag ? std::string(option.short_flag) + "," : "") + "--" + option.name;
    app.add_option(flags, given_[option.name], fmt::format("{} (${})", option.says, environment_name(option)))->option_text(option.metavar);
  }
  app.add_option("--config", config_, "TOML file with the same names ($TAILBACK_CONFIG)")->option_text("FILE");
  app.add_flag("-q,--quiet", quiet_, "no suggestions and no hints ($TAILBACK_QUIET)");
}

void RecordingOptions::take(const RecordingOption& option, const std::string& text, const std::string& origin) {
  if (values_.contains(option.name)) return;  // a source of higher precedence decided
  try {
    values_[option.name] = option.check(text);
  } catch (const std::invalid_argument& right) {
    throw Failure(kWrongUsage, fmt::format("{}: '{}' cannot be used; it takes {}", origin, text, right.what()));
  }
}

void RecordingOptions::take_environment() {
  for (const RecordingOption& option : recording_options()) {
    const std::string name = environment_name(option);
    if (const char* value = std::getenv(name.c_str()); value && *value) take(option, value, "environment variable " + name);
  }
  if (const char* quiet = std::getenv("TAILBACK_QUIET"); quiet && *quiet && !quiet_decided_) {
    quiet_ = std::string(quiet) != "0";
    quiet_decided_ = true;
  }
}

void RecordingOptions::take_file(const std::string& path) {
  const ConfigFile file = read_config_file(path);
  for (const ConfigEntry& entry : file.entries) {
    const std::string origin = fmt::format("{}:{}: {}", path, entry.line, entry.name);
    if (entry.name == "quiet") {
      if (!quiet_decided_) quiet_ = yes_no_value(entry.value) == "yes", quiet_decided_ = true;
      continue;
    }
    const RecordingOption* known = nullptr;
    for (const RecordingOption& option : recording_options())
      if (entry.name == option.name) known = &option;
    if (!known)
      throw Failure(kWrongUsage,
                    origin + " is no option of this version; remove the line ('tailback record --help' lists the names)");
    take(*known, entry.value, origin);
  }
}

void RecordingOptions::resolve() {
  for (const RecordingOption& option : recording_options())
    if (const auto at = given_.find(option.name); at != given_.end() && !at->second.empty())
      take(option, at->second, std::string("--") + option.name);
  quiet_decided_ = quiet_;
  take_environment();
  for (const std::string& path : config_files(config_)) take_file(path);
}

const std::string* RecordingOptions::find(const std::string& name) const {
  const auto at = values_.find(name);
  return at == values_.end() ? nullptr : &at->second;
}

std::vector<std::pair<std::string, std::string>> RecordingOptions::environment() const {
  std::vector<std::pair<std::string, std::string>> variables;
  for (const RecordingOption& option : recording_options())
    if (const std::string* value = find(option.name); value && std::string(option.name) != "output")
      variables.emplace_back(environment_name(option), *value);
  return variables;
}

}  // namespace tailback::tools
