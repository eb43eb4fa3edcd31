// SPDX-License-Identifier: Apache-2.0
// Options and course of a report on dumps: of `tailback report`, and of `tailback dump`, which reports on a process that goes on.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "tools/command.h"

namespace CLI {
class App;
}

namespace tailback::tools {

struct ReportOptions {
  std::vector<std::string> rules, debug_directories;
  std::string json, html, min_severity, fail_on, thread, config;
  std::optional<double> from, to;
  std::optional<std::size_t> top;
  bool quiet = false, force = false, debuginfod = false;

  void declare(CLI::App& app);
  // Throws Failure on values that cannot be.
  void check() const;
};

// Analyses the dumps together and delivers text, JSON or both. Returns the exit status.
int report_on(const std::vector<std::string>& dumps, const ReportOptions& options);

}  // namespace tailback::tools
