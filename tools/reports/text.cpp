// SPDX-License-Identifier: Apache-2.0
#include "tools/reports/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tools/reports/event_loop_section.h"
#include "tools/reports/format.h"
#include "tools/reports/io_section.h"
#include "tools/reports/lock_section.h"
#include "tools/reports/memory_section.h"
#include "tools/reports/pool_section.h"
#include "tools/reports/page.h"
#include "tools/reports/pause_section.h"
#include "tools/reports/stack_lines.h"

namespace tailback::tools {

namespace {

using namespace analyzers;

constexpr std::size_t kIndent = 4, kLabel = 10;
constexpr std::size_t kThreadsShown = 8, kStacksShown = 2, kNotesShown = 12;

Style style_of(Severity severity) {
  switch (severity) {
    case Severity::critical:
      return Style::red;
    case Severity::high:
      return Style::magenta;
    case Severity::medium:
      return Style::yellow;
    case Severity::low:
      return Style::blue;
    case Severity::info:
      return Style::dim;
  }
  return Style::plain;
}

std::string metric_name(const std::string& metric) {
  std::string name = metric;
  std::replace(name.begin(), name.end(), '_', ' ');
  return name == "cpu time" ? "CPU time" : name;
}

std::string command_line(const Target& target) {
  std::string text;
  for (const std::string& word : target.command) text += (text.empty() ? "" : " ") + word;
  return text.empty() ? "(unknown command)" : text;
}

std::string how_it_ended(const Target& target) {
  if (!target.complete) return "recording goes on, or was cut short";
  if (!target.exit_status) return "";
  return *target.exit_status > 128 ? fmt::format("killed by signal {}", *target.exit_status - 128)
                                   : fmt::format("exit status {}", *target.exit_status);
}

std::string process_facts(const Page& page, const Report& report) {
  const Target& target = report.target;
  const Summary& summary = report.summary;
  return fmt::format("pid {}{}{}{}{} of CPU time on {} CPU{} ({} used){}{} thread{}", target.pid, page.dot(), format_seconds(summary.wall_seconds), page.dot(),
                     format_seconds(summary.cpu_seconds), target.cpus, target.cpus == 1 ? "" : "s", format_fraction(summary.cpu_utilization), page.dot(),
                     format_count(static_cast<double>(summary.threads_peak)), summary.threads_peak == 1 ? "" : "s at most");
}

void headline(Page& page, const Report& report) {
  const Target& target = report.target;
  const Summary& summary = report.summary;
  page.line(page.styled(Style::bold, shortened(printable(command_line(target)), page.width(), page.unicode())));
  std::string facts = target.source.empty() ? process_facts(page, report) : target.source;
  if (!target.source.empty() && summary.wall_seconds > 0) facts += page.dot() + format_seconds(summary.wall_seconds);
  if (summary.rss_peak_bytes)
    facts += fmt::format("{}{} resident", page.dot(), format_bytes(static_cast<double>(summary.rss_peak_bytes)));
  if (const std::string end = how_it_ended(target); !end.empty()) facts += page.dot() + end;
  page.paragraph(0, facts, Style::dim);
  page.blank();
  const Style health = summary.health == "unhealthy" ? Style::red : summary.health == "degraded" ? Style::yellow : Style::green;
  page.row(0, "", 0, fmt::format("{}: {}", summary.health, summary.headline), health);
}

std::string place_of(const Frame& frame) {
  std::string text = frame.function;
  if (!frame.file.empty()) text += frame.line ? fmt::format("  {}:{}", frame.file, frame.line) : "  " + frame.file;
  if (!frame.module.empty()) text += "  (" + frame.module + ")";
  return text;
}

std::string gain_text(const Gain& gain) {
  const std::string metric = metric_name(gain.metric);
  std::string text = gain.fraction > 0 ? fmt::format("{} of {}", format_fraction(gain.fraction), metric)
                     : gain.high > 0   ? fmt::format("up to {} of {}", format_fraction(gain.high), metric)
                                       : "not known";
  if (gain.fraction > 0 && gain.high > gain.low)
    text += fmt::format(" (between {} and {})", format_fraction(gain.low), format_fraction(gain.high));
  if (!gain.how.empty()) text += ": " + gain.how;
  return text;
}

std::string value_text(const Evidence& evidence) {
  if (const auto* text = std::get_if<std::string>(&evidence.value))
    return evidence.unit.empty() ? *text : *text + " " + evidence.unit;
  return format_quantity(std::get<double>(evidence.value), evidence.unit);
}

void evidence_rows(Page& page, const std::vector<Evidence>& evidence) {
  std::size_t widest = 0;
  for (const Evidence& item : evidence) widest = std::max(widest, display_width(item.label));
  widest = std::min(widest, static_cast<std::size_t>(page.width() / 2));
  const char* label = "evidence";
  for (const Evidence& item : evidence) {
    const std::string name = padded(label, kLabel) + shortened(printable(item.label), widest, page.unicode());
    page.row(kIndent, name, kLabel + widest + 2, value_text(item));
    label = "";
  }
}

void stack_block(Page& page, const StackEvidence& stack) {
  std::string title = stack.role;
  if (stack.weight > 0) title += ", " + format_quantity(stack.weight, stack.unit);
  page.row(kIndent, "stack", kLabel, title);
  const std::size_t indent = kIndent + kLabel + 2;
  for (const std::string& line : stack_lines(stack.frames, page.width() - indent, page.unicode()))
    page.line(std::string(indent, ' ') + line);
}

void finding(Page& page, const Finding& finding, std::size_t rank) {
  page.blank();
  const std::string severity = to_string(finding.severity);
  const std::string head = fmt::format("{:>2}. ", rank);
  const std::size_t column = head.size() + 10;
  std::string first = head + page.styled(style_of(finding.severity), padded(severity, 10));
  for (const std::string& part : wrapped(printable(finding.title), page.width() - column)) {
    page.line(first + page.styled(Style::bold, part));
    first = std::string(column, ' ');
  }
  if (!finding.culprit.function.empty()) page.row(kIndent, "where", kLabel, place_of(finding.culprit));
  page.row(kIndent, "gain", kLabel, gain_text(finding.gain));
  evidence_rows(page, finding.evidence);
  for (std::size_t i = 0; i < std::min(finding.stacks.size(), kStacksShown); ++i) stack_block(page, finding.stacks[i]);
  const char* label = "do";
  for (const std::string& advice : finding.advice) {
    page.row(kIndent, padded(label, kLabel) + page.bullet(), kLabel + 2, advice);
    label = "";
  }
  if (!finding.verify.empty()) page.row(kIndent, "verify", kLabel, finding.verify);
  page.row(kIndent, "rule", kLabel, fmt::format("{}, confidence {}", finding.rule, format_fraction(finding.confidence)),
           Style::dim);
}

void findings(Page& page, const Report& report, std::size_t top) {
  if (report.findings.empty()) {
    page.heading("Suggestions: none");
    page.paragraph(2, "Nothing stands out that would be worth changing.");
    return;
  }
  const std::size_t shown = std::min(top, report.findings.size());
  page.heading(shown < report.findings.size()
                   ? fmt::format("Suggestions ({} of {}; --top shows more)", shown, report.findings.size())
                   : fmt::format("Suggestions ({})", shown));
  for (std::size_t i = 0; i < shown; ++i) finding(page, report.findings[i], i + 1);
}

void rule_list(Page& page, const Report& report, decltype(RuleOutcome::outcome) outcome, const char* title) {
  std::size_t widest = 0;
  for (const RuleOutcome& rule : report.rules)
    if (rule.outcome == outcome) widest = std::max(widest, display_width(rule.rule));
  if (widest == 0) return;
  page.heading(title);
  for (const RuleOutcome& rule : report.rules)
    if (rule.outcome == outcome)
      page.row(2, rule.rule, widest + 2, rule.detail.empty() ? "nothing found" : rule.detail, Style::dim);
}

std::string thread_name(const ThreadRow& row) {
  std::string name = row.name.empty() ? row.start_routine : row.name;
  if (name.empty()) name = fmt::format("thread {}", row.tid);
  return printable(row.count > 1 ? fmt::format("{} x {}", format_count(static_cast<double>(row.count)), name) : name);
}

struct Column {
  const char* title;
  std::size_t width;
  bool on_narrow_terminals;
  std::string (*value)(const ThreadRow& row);
};

constexpr Column kColumns[] = {
    {"CPU time", 11, true, [](const ThreadRow& row) { return format_seconds(row.cpu_seconds); }},
    {"user", 10, false, [](const ThreadRow& row) { return format_seconds(row.user_seconds); }},
    {"system", 10, false, [](const ThreadRow& row) { return format_seconds(row.system_seconds); }},
    {"run queue", 11, true,
     [](const ThreadRow& row) { return row.run_delay_seconds ? format_seconds(*row.run_delay_seconds) : "?"; }},
    {"samples", 10, true, [](const ThreadRow& row) { return format_count(static_cast<double>(row.samples)); }},
};

void thread_table(Page& page, const Report& report) {
  if (report.threads.empty()) return;
  constexpr unsigned kWide = 72;
  const std::size_t shown = std::min(report.threads.size(), kThreadsShown);
  std::size_t figures = 2, widest = 12;
  for (const Column& column : kColumns) figures += column.on_narrow_terminals || page.width() >= kWide ? column.width : 0;
  for (std::size_t i = 0; i < shown; ++i) widest = std::max(widest, display_width(thread_name(report.threads[i])));
  const std::size_t name_width = std::min(widest, page.width() > figures + 6 ? page.width() - figures : 6);
  const auto row_of = [&](std::string line, auto&& cell) {
    for (const Column& column : kColumns)
      if (column.on_narrow_terminals || page.width() >= kWide) line += padded_left(cell(column), column.width);
    return line;
  };
  page.heading("Threads, busiest first");
  page.line(page.styled(
      Style::dim, row_of("  " + padded("name", name_width), [](const Column& column) { return std::string(column.title); })));
  for (std::size_t i = 0; i < shown; ++i) {
    const ThreadRow& row = report.threads[i];
    const std::string name = padded(shortened(thread_name(row), name_width, page.unicode()), name_width);
    page.line(row_of("  " + name, [&](const Column& column) { return column.value(row); }));
  }
  if (shown < report.threads.size())
    page.line(page.styled(Style::dim, fmt::format("  {} and {} more", page.ellipsis(), report.threads.size() - shown)));
}

void data_quality(Page& page, const RecordingQuality& quality) {
  page.heading("About these figures");
  if (!quality.detail.empty()) page.bulleted(2, quality.detail, Style::dim);
  page.bulleted(2,
                fmt::format("recording cost {} of the program's CPU time; the dump is {}",
                            format_fraction(quality.overhead_fraction), format_bytes(static_cast<double>(quality.dump_bytes))),
                Style::dim);
  if (quality.dropped_events)
    page.bulleted(2, format_count(static_cast<double>(quality.dropped_events)) + " events could not be recorded");
  if (quality.truncated_stacks_fraction > 0)
    page.bulleted(2, format_fraction(quality.truncated_stacks_fraction) + " of the stacks do not reach the thread's root",
                  Style::dim);
  if (quality.unresolved_frames_fraction > 0)
    page.bulleted(2, format_fraction(quality.unresolved_frames_fraction) + " of the addresses have no symbol", Style::dim);
  const std::size_t shown = std::min(quality.notes.size(), kNotesShown);
  for (std::size_t i = 0; i < shown; ++i) page.bulleted(2, quality.notes[i], Style::dim);
  if (shown < quality.notes.size())
    page.bulleted(2, fmt::format("{} further notes; --json has them all", quality.notes.size() - shown), Style::dim);
}

}  // namespace

std::string text_report(const Report& report, const TextOptions& options) {
  Page page(options.terminal);
  headline(page, report);
  findings(page, report, options.top);
  rule_list(page, report, RuleOutcome::fine, "Looked at and fine");
  if (!options.brief) rule_list(page, report, RuleOutcome::not_applicable, "Could not be looked at");
  pause_section(page, report);
  io_section(page, report);
  lock_section(page, report);
  pool_section(page, report);
  event_loop_section(page, report);
  memory_section(page, report);
  thread_table(page, report);
  data_quality(page, report.recording);
  return page.text();
}

}  // namespace tailback::tools
