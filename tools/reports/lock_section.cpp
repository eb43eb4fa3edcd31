// SPDX-License-Identifier: Apache-2.0
#include "tools/reports/lock_section.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/reports/format.h"

namespace tailback::tools {

namespace {

using namespace analyzers;

constexpr std::size_t kLocksShown = 6;
constexpr double kWorthShowing = 0.005;  // of wall time
constexpr std::size_t kTimeWidth = 11, kWaitsWidth = 12, kHeldWidth = 12;

std::string label_of(const LockRow& row) {
  std::string label = row.name.empty() ? row.kind : row.name;
  if (!row.holders.empty() && !row.holders.front().culprit.function.empty()) label += " held in " + row.holders.front().culprit.function;
  return printable(label);
}

}  // namespace

void lock_section(Page& page, const Report& report) {
  const double least = std::max(1e-3, kWorthShowing * report.summary.wall_seconds);
  std::vector<const LockRow*> shown;
  for (const LockRow& row : report.locks)
    if (row.wait_seconds >= least && shown.size() < kLocksShown) shown.push_back(&row);
  if (shown.empty()) return;
  page.heading("Locks");
  constexpr unsigned kWide = 72;
  const bool wide = page.width() >= kWide;
  const std::size_t figures = kTimeWidth + kWaitsWidth + (wide ? kHeldWidth : 0) + 2;
  std::size_t widest = 14;
  for (const LockRow* row : shown) widest = std::max(widest, display_width(label_of(*row)));
  const std::size_t name_width = page.width() > figures + 6 ? std::min<std::size_t>(widest, page.width() - figures) : 6;
  const auto line_of = [&](const std::string& name, const std::string& waited, const std::string& waits, const std::string& held) {
    return "  " + padded(name, name_width) + padded_left(waited, kTimeWidth) + padded_left(waits, kWaitsWidth) + (wide ? padded_left(held, kHeldWidth) : "");
  };
  page.line(page.styled(Style::dim, line_of("lock", "waiting", "waits", "held (p50)")));
  for (const LockRow* row : shown)
    page.line(line_of(shortened(label_of(*row), name_width, page.unicode()), format_seconds(row->wait_seconds), format_count(row->waits),
                      row->hold_p50_seconds > 0 ? format_seconds(row->hold_p50_seconds) : "-"));
}

}  // namespace tailback::tools
