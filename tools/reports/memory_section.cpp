// SPDX-License-Identifier: Apache-2.0
#include "tools/reports/memory_section.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "tools/reports/format.h"

namespace tailback::tools {

namespace {

using namespace analyzers;

constexpr std::size_t kSitesShown = 6;
constexpr double kMuchLive = 16 << 20, kMuchAllocated = 1 << 30;  // bytes
constexpr double kMuchCost = 0.02;                                // of CPU time
constexpr double kLeastShare = 0.01;
constexpr std::size_t kBytesWidth = 11, kBlocksWidth = 14;

bool matters(const Allocations& heap) {
  constexpr double kNoticed = 0.01;  // seconds
  return heap.known && (heap.peak_bytes >= kMuchLive || heap.bytes >= kMuchAllocated || (heap.cost_fraction >= kMuchCost && heap.cost_seconds >= kNoticed));
}

// How much of any of the heap's figures is this place's.
double share_of(const AllocationRow& row, const Allocations& heap) {
  const auto part = [](double of, double all) { return all > 0 ? of / all : 0; };
  return std::max({part(row.bytes, heap.bytes), part(row.peak_bytes, heap.peak_bytes), part(row.live_bytes, heap.live_bytes)});
}

std::vector<const AllocationRow*> top_sites(const Allocations& heap) {
  std::vector<const AllocationRow*> rows;
  for (const AllocationRow& row : heap.sites)
    if (share_of(row, heap) >= kLeastShare) rows.push_back(&row);
  std::stable_sort(rows.begin(), rows.end(), [&](const AllocationRow* a, const AllocationRow* b) { return share_of(*a, heap) > share_of(*b, heap); });
  rows.resize(std::min(rows.size(), kSitesShown));
  return rows;
}

std::string per_second(double value, double seconds, std::string (*format)(double)) { return seconds > 0 ? format(value / seconds) + "/s" : "?"; }

void totals(Page& page, const Report& report) {
  const Allocations& heap = report.allocations;
  const double seconds = report.summary.wall_seconds;
  const std::string bound = heap.peak_bound_bytes > heap.peak_bytes ? fmt::format(" (at most {})", format_bytes(heap.peak_bound_bytes)) : "";
  page.paragraph(2, fmt::format("live at most {}{}, in the end {} in {} blocks; allocated {} in {} blocks ({}, {} blocks/s)", format_bytes(heap.peak_bytes), bound, format_bytes(heap.live_bytes),
                                format_count(heap.live_blocks), format_bytes(heap.bytes), format_count(heap.blocks), per_second(heap.bytes, seconds, format_bytes),
                                seconds > 0 ? format_count(heap.blocks / seconds) : "?"));
  const std::string how = heap.exact ? "exact" : fmt::format("sampled: all that was allocated is known to {} (standard deviation)", format_fraction(heap.bytes > 0 ? heap.bytes_deviation / heap.bytes : 0));
  page.paragraph(2, fmt::format("inside the allocator{}: {} ({} of CPU time); {}", heap.allocator.empty() ? "" : " (" + printable(heap.allocator) + ")", format_seconds(heap.cost_seconds),
                                format_fraction(heap.cost_fraction), how),
                 Style::dim);
}

void site_table(Page& page, const std::vector<const AllocationRow*>& rows) {
  constexpr unsigned kWide = 72;
  const bool wide = page.width() >= kWide;
  const std::size_t figures = kBytesWidth * (wide ? 3 : 2) + (wide ? kBlocksWidth : 0) + 2;
  std::size_t widest = 14;
  for (const AllocationRow* row : rows) widest = std::max(widest, display_width(printable(row->culprit.function)));
  const std::size_t name_width = page.width() > figures + 6 ? std::min<std::size_t>(widest, page.width() - figures) : 6;
  const auto line_of = [&](const std::string& name, const std::string& peak, const std::string& end, const std::string& total, const std::string& blocks) {
    return "  " + padded(name, name_width) + padded_left(peak, kBytesWidth) + (wide ? padded_left(end, kBytesWidth) : "") + padded_left(total, kBytesWidth) +
           (wide ? padded_left(blocks, kBlocksWidth) : "");
  };
  page.line(page.styled(Style::dim, line_of("allocated by", "at peak", "in the end", "in all", "blocks")));
  for (const AllocationRow* row : rows)
    page.line(line_of(shortened(printable(row->culprit.function), name_width, page.unicode()), format_bytes(row->peak_bytes), format_bytes(row->live_bytes), format_bytes(row->bytes),
                      format_count(row->blocks)));
}

}  // namespace

void memory_section(Page& page, const Report& report) {
  if (!matters(report.allocations)) return;
  page.heading("Memory");
  totals(page, report);
  const std::vector<const AllocationRow*> rows = top_sites(report.allocations);
  if (rows.empty()) return;
  page.blank();
  site_table(page, rows);
}

}  // namespace tailback::tools
