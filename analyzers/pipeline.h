// SPDX-License-Identifier: Apache-2.0
// The contents page of the offline half: dumps -> recording -> symbols -> views -> rules -> rank -> report.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "analyzers/input_error.h"
#include "analyzers/model/model.h"
#include "analyzers/report.h"

namespace tailback::analyzers {

struct AnalysisOptions {
  std::optional<double> from_seconds, to_seconds;  // window of time
  std::string thread;                              // only threads of this name
  std::vector<std::string> rules;                  // only these; empty: all
  Severity min_severity = Severity::info;
  Thresholds thresholds;
  std::vector<std::string> debug_directories;      // besides /usr/lib/debug
  bool use_debuginfod = false;
  std::function<void(const std::string&)> progress;  // a line for the terminal, may be empty
};

// Loads and indexes dumps (one process each). Throws InputError.
std::unique_ptr<Model> load_model(const std::vector<std::string>& dumps, const AnalysisOptions& options);

// Runs the rules, merges findings of one root cause, ranks them.
Report analyze(const Model& model, const AnalysisOptions& options);

}  // namespace tailback::analyzers
