// SPDX-License-Identifier: Apache-2.0
#include "tools/reports/pause_section.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/reports/format.h"

namespace tailback::tools {

namespace {

using namespace analyzers;

constexpr double kWorthShowing = 0.002;  // of wall time
constexpr std::size_t kSingleShown = 10;
constexpr std::size_t kNameWidth = 24, kColumn = 10;

struct Single {
  const PauseRow* kind;
  const PauseMoment* pause;
};

std::string line_of(const std::string& name, const std::string& count, const std::string& total, const std::string& p50, const std::string& p99, const std::string& longest, bool wide) {
  return "  " + padded(name, kNameWidth) + padded_left(count, 8) + padded_left(total, kColumn) + (wide ? padded_left(p50, kColumn) + padded_left(p99, kColumn) : "") + padded_left(longest, kColumn);
}

std::vector<Single> longest_in_order(const std::vector<const PauseRow*>& rows) {
  std::vector<Single> all;
  for (const PauseRow* row : rows)
    for (const PauseMoment& pause : row->pauses) all.push_back({row, &pause});
  std::stable_sort(all.begin(), all.end(), [](const Single& a, const Single& b) { return a.pause->seconds > b.pause->seconds; });
  if (all.size() > kSingleShown) all.resize(kSingleShown);
  std::stable_sort(all.begin(), all.end(), [](const Single& a, const Single& b) { return a.pause->begin_seconds < b.pause->begin_seconds; });
  return all;
}

}  // namespace

void pause_section(Page& page, const Report& report) {
  std::vector<const PauseRow*> shown;
  for (const PauseRow& row : report.pauses)
    if (row.total_seconds >= kWorthShowing * report.summary.wall_seconds) shown.push_back(&row);
  if (shown.empty()) return;
  constexpr unsigned kWide = 78;
  const bool wide = page.width() >= kWide;
  page.heading("Pauses");
  page.line(page.styled(Style::dim, line_of("cause", "count", "total", "p50", "p99", "longest", wide)));
  for (const PauseRow* row : shown) {
    const bool single = !row->pauses.empty();
    const auto seconds = [&](double value) { return single ? format_seconds(value) : std::string("-"); };
    const std::string name = row->runtime.empty() ? row->cause : row->cause + ", " + row->runtime;
    page.line(line_of(shortened(printable(name), kNameWidth, page.unicode()), row->count > 0 ? format_count(row->count) : "-", format_seconds(row->total_seconds), seconds(row->p50_seconds),
                      seconds(row->p99_seconds), seconds(row->longest_seconds), wide));
  }
  for (const Single& one : longest_in_order(shown))
    page.line(page.styled(Style::dim, fmt::format("  at {:>8.3f} s  {:>10}  {}", one.pause->begin_seconds, format_seconds(one.pause->seconds), one.kind->cause)));
}

}  // namespace tailback::tools
