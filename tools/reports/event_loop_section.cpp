// SPDX-License-Identifier: Apache-2.0
#include "tools/reports/event_loop_section.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/reports/format.h"

namespace tailback::tools {

namespace {

using namespace analyzers;

constexpr std::size_t kLoopsShown = 6;
constexpr std::size_t kTurnsWidth = 12, kBusyWidth = 8, kTurnWidth = 12, kLongestWidth = 12, kLagWidth = 12;

std::string label_of(const EventLoopRow& row) {
  std::string label = row.thread_name.empty() ? fmt::format("thread {}", row.thread) : row.thread_name;
  if (!row.culprit.function.empty()) label += " in " + row.culprit.function;
  return printable(label);
}

}  // namespace

void event_loop_section(Page& page, const Report& report) {
  if (report.event_loops.empty()) return;
  page.heading("Event loops");
  constexpr unsigned kWide = 72;
  const bool wide = page.width() >= kWide;
  const std::size_t shown = std::min(kLoopsShown, report.event_loops.size());
  const std::size_t figures = kTurnsWidth + kBusyWidth + kLongestWidth + (wide ? kTurnWidth + kLagWidth : 0) + 2;
  std::size_t widest = 14;
  for (std::size_t i = 0; i < shown; ++i) widest = std::max(widest, display_width(label_of(report.event_loops[i])));
  const std::size_t name_width = page.width() > figures + 6 ? std::min<std::size_t>(widest, page.width() - figures) : 6;
  const auto line_of = [&](const std::string& name, const std::string& turns, const std::string& busy, const std::string& turn, const std::string& longest, const std::string& lag) {
    return "  " + padded(name, name_width) + padded_left(turns, kTurnsWidth) + padded_left(busy, kBusyWidth) + (wide ? padded_left(turn, kTurnWidth) : "") + padded_left(longest, kLongestWidth) +
           (wide ? padded_left(lag, kLagWidth) : "");
  };
  page.line(page.styled(Style::dim, line_of("loop", "turns", "busy", "turn (p99)", "longest", "lag (p99)")));
  for (std::size_t i = 0; i < shown; ++i) {
    const EventLoopRow& row = report.event_loops[i];
    page.line(line_of(shortened(label_of(row), name_width, page.unicode()), format_count(static_cast<double>(row.turns)), format_fraction(row.seconds > 0 ? row.busy_seconds / row.seconds : 0),
                      format_seconds(row.turn_p99_seconds), format_seconds(row.turn_longest_seconds), format_seconds(row.lag_p99_seconds)));
  }
  if (shown < report.event_loops.size()) page.line(page.styled(Style::dim, fmt::format("  {} and {} more", page.ellipsis(), report.event_loops.size() - shown)));
}

}  // namespace tailback::tools
