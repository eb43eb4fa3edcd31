// SPDX-License-Identifier: Apache-2.0
#include "tools/reports/io_section.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "tools/reports/format.h"

namespace tailback::tools {

namespace {

using namespace analyzers;

constexpr std::size_t kCausesShown = 6, kOperationsShown = 6;
constexpr double kWorthShowing = 0.001;  // of wall time
constexpr std::size_t kCauseWidth = 12, kTimeWidth = 11, kCallsWidth = 12, kBytesWidth = 10;

struct Line {
  std::string label;
  const IoOperation* operation = nullptr;
};

// Operations on files and peers that took time, most first.
std::vector<Line> operations_of(const Report& report, double least) {
  std::vector<Line> lines;
  for (const IoRow& row : report.io)
    for (const IoOperation& operation : row.operations)
      if (operation.seconds >= least) lines.push_back({printable(operation.call + " " + (row.name.empty() ? row.kind : row.name)), &operation});
  std::stable_sort(lines.begin(), lines.end(), [](const Line& a, const Line& b) { return a.operation->seconds > b.operation->seconds; });
  lines.resize(std::min(lines.size(), kOperationsShown));
  return lines;
}

std::string time_or_dash(double seconds, double least) { return seconds >= least ? format_seconds(seconds) : "-"; }

void cause_table(Page& page, const Report& report, double least) {
  std::size_t shown = 0;
  for (const WaitRow& row : report.waiting) {
    if (row.seconds < least || shown == kCausesShown) break;
    if (shown++ == 0)
      page.line(page.styled(Style::dim, "  " + padded("waiting for", kCauseWidth) + padded_left("held up", kTimeWidth) + padded_left("for work", kTimeWidth)));
    page.line("  " + padded(row.cause, kCauseWidth) + padded_left(time_or_dash(row.seconds - row.by_design_seconds, least), kTimeWidth) +
              padded_left(time_or_dash(row.by_design_seconds, least), kTimeWidth));
  }
}

void operation_table(Page& page, const std::vector<Line>& lines) {
  constexpr unsigned kWide = 72;
  const bool wide = page.width() >= kWide;
  const std::size_t figures = kCallsWidth + kBytesWidth + kTimeWidth * (wide ? 2 : 1) + 2;
  std::size_t widest = 14;
  for (const Line& line : lines) widest = std::max(widest, display_width(line.label));
  const std::size_t name_width = page.width() > figures + 6 ? std::min<std::size_t>(widest, page.width() - figures) : 6;
  const auto line_of = [&](const std::string& name, const std::string& calls, const std::string& bytes, const std::string& time, const std::string& p99) {
    return "  " + padded(name, name_width) + padded_left(calls, kCallsWidth) + padded_left(bytes, kBytesWidth) + padded_left(time, kTimeWidth) +
           (wide ? padded_left(p99, kTimeWidth) : "");
  };
  page.line(page.styled(Style::dim, line_of("operation", "calls", "bytes", "time", "99th pct.")));
  for (const auto& [label, operation] : lines)
    page.line(line_of(shortened(label, name_width, page.unicode()), format_count(static_cast<double>(operation->calls)),
                      operation->bytes ? format_bytes(static_cast<double>(operation->bytes)) : "-", format_seconds(operation->seconds),
                      format_seconds(operation->p99_seconds)));
}

}  // namespace

void io_section(Page& page, const Report& report) {
  const double least = std::max(1e-3, kWorthShowing * report.summary.wall_seconds);
  const bool waited = !report.waiting.empty() && report.waiting.front().seconds >= least;
  const std::vector<Line> lines = operations_of(report, least);
  if (!waited && lines.empty()) return;
  page.heading("Waiting and I/O");
  if (waited) cause_table(page, report, least);
  if (waited && !lines.empty()) page.blank();
  if (!lines.empty()) operation_table(page, lines);
}

}  // namespace tailback::tools
