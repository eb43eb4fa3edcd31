// SPDX-License-Identifier: Apache-2.0
// The options that record and attach share, stated once: name on the command line, in the environment and in the
// configuration file derive from one table. Precedence: command line, environment, configuration files.
#pragma once
#include <map>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace tailback::tools {

struct RecordingOption {
  const char* name;        // "alloc-interval": --alloc-interval, TAILBACK_ALLOC_INTERVAL, alloc-interval in TOML
  const char* short_flag;  // "-F" or ""
  const char* metavar;
  const char* says;
  std::string (*check)(const std::string& text);  // throws std::invalid_argument
};

const std::vector<RecordingOption>& recording_options();
std::string environment_name(const RecordingOption& option);  // TAILBACK_ALLOC_INTERVAL

class RecordingOptions {
 public:
  // Adds the table's options, --config and --quiet to a command.
  void declare(CLI::App& app);
  // After parsing: fills in the environment and the configuration files. Throws Failure (wrong usage).
  void resolve();

  const std::string* find(const std::string& name) const;  // the checked value, nullptr when nobody gave one
  bool quiet() const { return quiet_; }
  // NAME=value for each option that somebody gave, output excepted (its pattern is the launcher's business).
  std::vector<std::pair<std::string, std::string>> environment() const;
  const std::string& config() const { return config_; }  // the file named on the command line

 private:
  void take(const RecordingOption& option, const std::string& text, const std::string& origin);
  void take_environment();
  void take_file(const std::string& path);

  std::map<std::string, std::string> given_;   // as typed on the command line
  std::map<std::string, std::string> values_;  // checked
  std::string config_;
  bool quiet_ = false;
  bool quiet_decided_ = false;
};

}  // namespace tailback::tools
