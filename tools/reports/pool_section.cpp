// SPDX-License-Identifier: Apache-2.0
#include "tools/reports/pool_section.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/reports/format.h"

namespace tailback::tools {

namespace {

using namespace analyzers;

constexpr std::size_t kPoolsShown = 6;
constexpr std::size_t kThreadsWidth = 9, kBusyWidth = 8, kTasksWidth = 9, kTaskWidth = 11, kWaitWidth = 13;

std::string counted(const PoolRow& row, std::string text) { return row.counted ? text : "-"; }

}  // namespace

void pool_section(Page& page, const Report& report) {
  if (report.pools.empty()) return;
  page.heading("Thread pools");
  constexpr unsigned kWide = 72;
  const bool wide = page.width() >= kWide;
  const std::size_t figures = kThreadsWidth + kBusyWidth + kTasksWidth + (wide ? kTaskWidth + kWaitWidth : 0) + 2, shown = std::min(report.pools.size(), kPoolsShown);
  std::size_t widest = 14;
  for (std::size_t i = 0; i < shown; ++i) widest = std::max(widest, display_width(printable(report.pools[i].name)));
  const std::size_t name_width = page.width() > figures + 6 ? std::min<std::size_t>(widest, page.width() - figures) : 6;
  const auto line_of = [&](const std::string& name, const std::string& threads, const std::string& busy, const std::string& tasks, const std::string& task, const std::string& wait) {
    return "  " + padded(name, name_width) + padded_left(threads, kThreadsWidth) + padded_left(busy, kBusyWidth) + padded_left(tasks, kTasksWidth) +
           (wide ? padded_left(task, kTaskWidth) + padded_left(wait, kWaitWidth) : "");
  };
  page.line(page.styled(Style::dim, line_of("pool", "threads", "busy", "tasks", "task", "queue wait")));
  for (std::size_t i = 0; i < shown; ++i) {
    const PoolRow& row = report.pools[i];
    page.line(line_of(shortened(printable(row.name), name_width, page.unicode()), format_count(static_cast<double>(row.threads)), format_fraction(row.utilization),
                      counted(row, format_count(row.tasks)), counted(row, format_seconds(row.service_seconds)), counted(row, format_seconds(row.queue_wait_seconds))));
  }
}

}  // namespace tailback::tools
