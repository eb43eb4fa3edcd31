// SPDX-License-Identifier: Apache-2.0
#include "tools/report_options.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>

#include "analyzers/analyzer.h"
#include "tools/options/rule_thresholds.h"
#include "tools/output_file.h"
#include "tools/progress.h"
#include "tools/reports/json.h"
#include "tools/reports/text.h"

namespace tailback::tools {

namespace {

using analyzers::Severity;

constexpr std::array kSeverities = {Severity::info, Severity::low, Severity::medium, Severity::high, Severity::critical};

Severity severity_of(const std::string& text, const char* option) {
  for (const Severity severity : kSeverities)
    if (text == to_string(severity)) return severity;
  throw Failure(kWrongUsage, fmt::format("{} {}: no such severity; it takes info, low, medium, high or critical", option, text));
}

void check_rules(const std::vector<std::string>& ids) {
  for (const std::string& id : ids) {
    const auto& all = analyzers::registry();
    if (std::any_of(all.begin(), all.end(), [&](const auto& rule) { return id == rule.id; })) continue;
    std::string known;
    for (const auto& rule : all) known += (known.empty() ? "" : ", ") + std::string(rule.id);
    throw Failure(kWrongUsage, fmt::format("--rule {}: no such rule in this version; there are: {}", id, known));
  }
}

analyzers::AnalysisOptions analysis_options(const ReportOptions& options) {
  analyzers::AnalysisOptions analysis;
  analysis.from_seconds = options.from;
  analysis.to_seconds = options.to;
  analysis.thread = options.thread;
  analysis.rules = options.rules;
  if (!options.min_severity.empty()) analysis.min_severity = severity_of(options.min_severity, "--min-severity");
  analysis.thresholds = rule_thresholds(options.config);
  analysis.debug_directories = options.debug_directories;
  analysis.use_debuginfod = options.debuginfod;
  if (!options.quiet) analysis.progress = progress_line;
  return analysis;
}

void deliver(const analyzers::Report& report, const ReportOptions& options) {
  if (!options.json.empty()) {
    analyzers::Report cut = report;
    if (options.top && cut.findings.size() > *options.top) cut.findings.resize(*options.top);
    write_result(options.json, json_report(cut), options.force);
  }
  if (options.quiet || options.json == "-") return;
  write_result("-", text_report(report, {terminal_of(STDOUT_FILENO), options.top.value_or(10), false}), false);
}

}  // namespace

void ReportOptions::declare(CLI::App& app) {
  app.add_option("--json", json, "write the report as JSON ('-' is stdout)")->option_text("FILE");
  app.add_option("--html", html, "write the report as a page (not in this version)")->option_text("FILE");
  app.add_option("--top", top, "suggestions shown [10]")->option_text("N");
  app.add_option("--min-severity", min_severity, "leave out less: info, low, medium, high, critical")->option_text("S");
  app.add_option("--rule", rules, "only this rule; may be repeated")->option_text("ID")->allow_extra_args(false);
  app.add_option("--fail-on", fail_on, "exit with 3 when a finding of at least that severity stands")->option_text("S");
  app.add_option("--thread", thread, "only threads of that name")->option_text("NAME");
  app.add_option("--from", from, "only from that second on")->option_text("S");
  app.add_option("--to", to, "only up to that second")->option_text("S");
  app.add_option("--config", config, "TOML file with thresholds of rules; instead of ./.tailback.toml and the user's own")->option_text("FILE");
  app.add_option("--debug-dir", debug_directories, "where to look for debug files besides /usr/lib/debug")
      ->option_text("DIR")
      ->allow_extra_args(false);
  app.add_flag("--debuginfod", debuginfod, "fetch debug files from $DEBUGINFOD_URLS");
  app.add_flag("--force", force, "overwrite existing files");
  app.add_flag("-q,--quiet", quiet, "no text report, no progress");
}

void ReportOptions::check() const {
  if (!html.empty())
    throw Failure(kWrongUsage, "--html is not available in this version; use --json, or 'tailback export --format folded'");
  if (from && to && *from >= *to)
    throw Failure(kWrongUsage, fmt::format("--from {} --to {}: the window of time is empty; --from must be smaller",
                                           *from, *to));
  check_rules(rules);
}

int report_on(const std::vector<std::string>& dumps, const ReportOptions& options) {
  const bool may_fail = !options.fail_on.empty();
  const Severity threshold = may_fail ? severity_of(options.fail_on, "--fail-on") : Severity::critical;
  const analyzers::AnalysisOptions analysis = analysis_options(options);
  const auto model = analyzers::load_model(dumps, analysis);
  const analyzers::Report report = analyzers::analyze(*model, analysis);
  end_progress();
  deliver(report, options);
  const bool met = std::any_of(report.findings.begin(), report.findings.end(),
                               [&](const auto& finding) { return finding.severity >= threshold; });
  return may_fail && met ? kFindingsStand : kDone;
}

}  // namespace tailback::tools
