// SPDX-License-Identifier: Apache-2.0
#include "analyzers/pipeline.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzers/analyzer.h"
#include "analyzers/foreign/foreign_profile.h"
#include "analyzers/rank.h"
#include "analyzers/summary.h"

namespace tailback::analyzers {

namespace {

constexpr double kLatestSecond = 2e9;  // what fits into 64 bits of nanoseconds with room to spare

std::uint64_t nanoseconds(double seconds) { return static_cast<std::uint64_t>(std::clamp(seconds, 0.0, kLatestSecond) * 1e9); }

void say(const AnalysisOptions& options, const std::string& what) {
  if (options.progress) options.progress(what);
}

ReadOptions read_options(const AnalysisOptions& options) {
  ReadOptions read;
  if (options.from_seconds) read.from_ns = nanoseconds(*options.from_seconds);
  if (options.to_seconds) read.to_ns = nanoseconds(*options.to_seconds);
  read.thread = options.thread;
  return read;
}

// Of a process that only counts in the totals: its samples are not looked at again.
void keep_totals(Recording& recording) {
  recording.samples = {};
  recording.cpu = {};
  recording.nodes = std::vector<NodeRow>(1);
  recording.code_ranges = {};
  recording.frame_infos = {};
  recording.symbols = {};
  recording.calls = {};
  recording.locks = {};
  recording.loops = {};
  recording.allocations = {};
  recording.pauses = {};
}

Recording read_input(const std::string& path, const ReadOptions& options) {
  if (auto foreign = read_foreign_profile(path, options)) return std::move(*foreign);
  return read_recording(path, options);
}

// Reads all dumps; the one with most CPU time becomes the model's recording. What cannot be read is told by that one.
void read_all(const std::vector<std::string>& dumps, const AnalysisOptions& options, Model& model) {
  const ReadOptions read = read_options(options);
  std::optional<Recording> best;
  std::vector<std::string> unreadable;
  for (const auto& path : dumps) {
    say(options, "reading " + path);
    try {
      Recording next = read_input(path, read);
      if (best && next.whole_cpu_ns > best->whole_cpu_ns) std::swap(*best, next);
      if (!best) {
        best = std::move(next);
        continue;
      }
      keep_totals(next);
      model.others.push_back(std::move(next));
    } catch (const InputError& error) {
      if (dumps.size() == 1) throw;
      unreadable.push_back(error.what());
    }
  }
  if (!best) throw InputError(unreadable.empty() ? std::string("no dump given; name the .tbk file that 'tailback record' wrote") : unreadable.front());
  for (const auto& why : unreadable) best->reader_notes.push_back("left out: " + why);
  model.recording = std::move(*best);
}

bool wanted(const AnalysisOptions& options, const char* rule) {
  return options.rules.empty() || std::find(options.rules.begin(), options.rules.end(), rule) != options.rules.end();
}

RuleOutcome outcome_of(const RuleInfo& rule, const RuleResult& result) {
  RuleOutcome outcome;
  outcome.rule = rule.id;
  if (!result.not_applicable.empty()) outcome.outcome = RuleOutcome::not_applicable, outcome.detail = result.not_applicable;
  else if (result.findings.empty()) outcome.outcome = RuleOutcome::fine, outcome.detail = result.fine;
  else outcome.outcome = RuleOutcome::found, outcome.detail = fmt::format("{} finding{}", result.findings.size(), result.findings.size() == 1 ? "" : "s");
  return outcome;
}

// Why a rule cannot look at a profile of another tool: these hold allocations, or CPU time by stack, and nothing else.
std::string not_in_source(const Model& model, const RuleInfo& rule) {
  const Recording& recording = model.recording;
  if (recording.source.format.empty()) return {};
  if (rule.category == Category::memory && recording.allocations.seen) return {};
  if (std::string_view(rule.id) == "cpu-hotspot" && model.cpu.samples) return {};
  return fmt::format("because a {} holds nothing about it; record with tailback", recording.source.format);
}

void run_rules(const Model& model, const AnalysisOptions& options, Report& report) {
  for (const RuleInfo& rule : registry()) {
    if (!wanted(options, rule.id)) continue;
    say(options, fmt::format("looking for {}", rule.id));
    const std::string missing = not_in_source(model, rule);
    RuleResult result = missing.empty() ? rule.evaluate(model) : RuleResult::cannot(missing);
    report.rules.push_back(outcome_of(rule, result));
    for (Finding& finding : result.findings) {
      finding.rule = rule.id;
      finding.category = rule.category;
      report.findings.push_back(std::move(finding));
    }
  }
}

void tell_absorbed(const std::vector<Absorbed>& absorbed, std::vector<RuleOutcome>& outcomes) {
  for (const Absorbed& one : absorbed)
    for (RuleOutcome& outcome : outcomes)
      if (outcome.rule == one.rule) outcome.detail += fmt::format(", part of {}", one.into);
}

}  // namespace

std::unique_ptr<Model> load_model(const std::vector<std::string>& dumps, const AnalysisOptions& options) {
  auto model = std::make_unique<Model>();
  read_all(dumps, options, *model);
  model->thresholds = options.thresholds;
  say(options, "resolving symbols");
  model->symbols = std::make_unique<Symbols>(model->recording, SymbolOptions{options.debug_directories, options.use_debuginfod});
  build_views(*model);
  return model;
}

Report analyze(const Model& model, const AnalysisOptions& options) {
  Report report;
  run_rules(model, options, report);
  tell_absorbed(merge_same_cause(report.findings), report.rules);
  rank(report.findings);
  report.target = target_of(model);
  report.summary = summary_of(model, report.findings);  // of all findings, whatever is shown
  std::erase_if(report.findings, [&](const Finding& finding) { return finding.severity < options.min_severity; });
  report.threads = thread_rows(model);
  report.waiting = waiting_of(model);
  report.io = io_rows(model);
  report.locks = lock_rows(model);
  report.pools = pool_rows(model);
  report.pauses = pause_rows(model);
  report.event_loops = event_loop_rows(model);
  report.allocations = allocations_of(model);
  report.recording = quality_of(model);
  return report;
}

}  // namespace tailback::analyzers
