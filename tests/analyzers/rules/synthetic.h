// SPDX-License-Identifier: Apache-2.0
// A model built from a synthetic dump the way the product builds it, and short names for what rule tests ask.
#pragma once
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "analyzers/rules/rules.h"
#include "tests/support/trace_builder.h"

namespace tailback::testing {

inline std::unique_ptr<analyzers::Model> model_of(const TraceBuilder& builder) {
  static int number = 0;
  const auto path = std::filesystem::temp_directory_path() / ("rules_test." + std::to_string(getpid()) + "." + std::to_string(++number) + ".tbk");
  builder.write(path);
  auto model = std::make_unique<analyzers::Model>();
  model->recording = analyzers::read_recording(path);
  std::filesystem::remove(path);
  model->symbols = std::make_unique<analyzers::Symbols>(model->recording, analyzers::SymbolOptions{});
  analyzers::build_views(*model);
  return model;
}

inline std::string evidence_text(const analyzers::Finding& finding, const std::string& label) {
  for (const auto& evidence : finding.evidence)
    if (evidence.label == label && std::holds_alternative<std::string>(evidence.value)) return std::get<std::string>(evidence.value);
  return {};
}

inline double evidence_number(const analyzers::Finding& finding, const std::string& label) {
  for (const auto& evidence : finding.evidence)
    if (evidence.label == label && std::holds_alternative<double>(evidence.value)) return std::get<double>(evidence.value);
  return -1;
}

// What every finding owes its reader, whatever the rule.
inline std::string incomplete(const analyzers::Finding& finding) {
  if (finding.title.empty()) return "no title";
  if (finding.culprit.function.empty()) return "no culprit";
  if (finding.evidence.empty()) return "no evidence";
  if (finding.advice.empty()) return "no advice";
  if (finding.verify.find("tailback record") == std::string::npos) return "no command to verify";
  if (finding.gain.how.empty()) return "gain not explained";
  if (!(finding.gain.low <= finding.gain.fraction && finding.gain.fraction <= finding.gain.high)) return "bounds do not enclose the gain";
  if (finding.gain.low < 0 || finding.gain.high > 1) return "gain outside 0..1";
  if (finding.confidence <= 0 || finding.confidence > 1) return "confidence outside 0..1";
  return {};
}

}  // namespace tailback::testing
