// SPDX-License-Identifier: Apache-2.0
// tailback report: dumps to ranked suggestions, as text or JSON, or their raw records.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>

#include "analyzers/analyzer.h"
#include "tools/command.h"
#include "tools/options/command_line.h"
#include "tools/output_file.h"
#include "tools/progress.h"
#include "tools/reports/json.h"
#include "tools/reports/records.h"
#include "tools/reports/text.h"

namespace tailback::tools {

namespace {

using analyzers::Severity;

constexpr std::array kSeverities = {Severity::info, Severity::low, Severity::medium, Severity::high, Severity::critical};

struct ReportOptions {
  std::vector<std::string> dumps, rules, debug_directories;
  std::string json, html, min_severity, fail_on, thread;
  std::optional<double> from, to;
  std::optional<std::size_t> top;
  bool records = false, quiet = false, force = false, debuginfod = false;
};

void declare(CLI::App& app, ReportOptions& options) {
  app.add_option("DUMP", options.dumps, "dumps of tailback record, or profiles of other tools; several are analysed together")->option_text("...");
  app.add_option("--json", options.json, "write the report as JSON ('-' is stdout)")->option_text("FILE");
  app.add_option("--html", options.html, "write the report as a page (not in this version)")->option_text("FILE");
  app.add_option("--top", options.top, "suggestions shown [10]")->option_text("N");
  app.add_option("--min-severity", options.min_severity, "leave out less: info, low, medium, high, critical")->option_text("S");
  app.add_option("--rule", options.rules, "only this rule; may be repeated")->option_text("ID")->allow_extra_args(false);
  app.add_option("--fail-on", options.fail_on, "exit with 3 when a finding of at least that severity stands")->option_text("S");
  app.add_option("--thread", options.thread, "only threads of that name")->option_text("NAME");
  app.add_option("--from", options.from, "only from that second on")->option_text("S");
  app.add_option("--to", options.to, "only up to that second")->option_text("S");
  app.add_option("--debug-dir", options.debug_directories, "where to look for debug files besides /usr/lib/debug")
      ->option_text("DIR")
      ->allow_extra_args(false);
  app.add_flag("--debuginfod", options.debuginfod, "fetch debug files from $DEBUGINFOD_URLS");
  app.add_flag("--records", options.records, "print the raw records instead");
  app.add_flag("--force", options.force, "overwrite existing files");
  app.add_flag("-q,--quiet", options.quiet, "no text report, no progress");
}

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

void check(const ReportOptions& options) {
  if (options.dumps.empty())
    throw Failure(kWrongUsage, "report needs a dump; 'tailback record PROGRAM' writes one, then: tailback report FILE.tbk");
  if (!options.html.empty())
    throw Failure(kWrongUsage, "--html is not available in this version; use --json, or 'tailback export --format folded'");
  if (options.from && options.to && *options.from >= *options.to)
    throw Failure(kWrongUsage, fmt::format("--from {} --to {}: the window of time is empty; --from must be smaller",
                                           *options.from, *options.to));
  check_rules(options.rules);
}

analyzers::AnalysisOptions analysis_options(const ReportOptions& options) {
  analyzers::AnalysisOptions analysis;
  analysis.from_seconds = options.from;
  analysis.to_seconds = options.to;
  analysis.thread = options.thread;
  analysis.rules = options.rules;
  if (!options.min_severity.empty()) analysis.min_severity = severity_of(options.min_severity, "--min-severity");
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

int cmd_report(const Arguments& arguments) {
  CLI::App app("Analyse dumps: ranked suggestions, what was looked at, how good the data is", "report");
  set_usage(app, "[OPTIONS] DUMP...");
  ReportOptions options;
  declare(app, options);
  if (const auto status = parse(app, arguments)) return *status;
  check(options);
  if (options.records) {
    for (const std::string& dump : options.dumps) print_records(dump, stdout);
    return kDone;
  }
  const bool may_fail = !options.fail_on.empty();
  const Severity threshold = may_fail ? severity_of(options.fail_on, "--fail-on") : Severity::critical;
  const analyzers::AnalysisOptions analysis = analysis_options(options);
  const auto model = analyzers::load_model(options.dumps, analysis);
  const analyzers::Report report = analyzers::analyze(*model, analysis);
  end_progress();
  deliver(report, options);
  const bool met = std::any_of(report.findings.begin(), report.findings.end(),
                               [&](const auto& finding) { return finding.severity >= threshold; });
  return may_fail && met ? kFindingsStand : kDone;
}

}  // namespace tailback::tools
