// SPDX-License-Identifier: Apache-2.0
// The heap as a part of the report.
#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "analyzers/rules/wording.h"
#include "analyzers/summary.h"

namespace tailback::analyzers {

namespace {

constexpr std::size_t kMostResolved = 5000;  // sites by each measure whose stacks are looked at; together they hold nearly all
constexpr std::size_t kMostRows = 300;

// Those that allocated most, and those that held most.
std::vector<const HeapSite*> sites_that_matter(const Heap& heap) {
  std::vector<const HeapSite*> by_bytes, by_live;
  for (const HeapSite& site : heap.sites) by_bytes.push_back(&site);
  by_live = by_bytes;
  std::stable_sort(by_live.begin(), by_live.end(), [](const HeapSite* a, const HeapSite* b) { return std::max(a->live_bytes(), a->peak_bytes) > std::max(b->live_bytes(), b->peak_bytes); });
  by_bytes.resize(std::min(by_bytes.size(), kMostResolved));
  by_live.resize(std::min(by_live.size(), kMostResolved));
  by_bytes.insert(by_bytes.end(), by_live.begin(), by_live.end());
  std::sort(by_bytes.begin(), by_bytes.end(), [](const HeapSite* a, const HeapSite* b) { return a < b; });  // one array: most bytes first
  by_bytes.erase(std::unique(by_bytes.begin(), by_bytes.end()), by_bytes.end());
  return by_bytes;
}

void add(AllocationRow& row, const HeapSite& site) {
  row.blocks += site.blocks, row.bytes += site.bytes;
  row.bytes_deviation = std::hypot(row.bytes_deviation, site.bytes_deviation);
  row.live_blocks += site.live_blocks(), row.live_bytes += site.live_bytes();
  row.peak_bytes += site.peak_bytes;
  row.temporary += site.temporary, row.reallocations += site.reallocations;
  row.cost_seconds += site.cost_seconds();
  row.samples += site.samples;
}

std::vector<AllocationRow> rows_of(const Model& model) {
  std::vector<AllocationRow> rows;
  std::map<std::tuple<std::string, std::string, std::string, std::uint32_t>, std::size_t> known;
  for (const HeapSite* site : sites_that_matter(model.heap)) {
    std::vector<Frame> frames = model.symbols->stack(site->stack);
    const Frame culprit = allocating_frame(frames);
    const auto [at, added] = known.emplace(std::tuple(culprit.module, culprit.function, culprit.file, culprit.line), rows.size());
    if (added) {
      rows.emplace_back().culprit = culprit;
      rows.back().frames = std::move(frames);
    }
    add(rows[at->second], *site);
  }
  std::stable_sort(rows.begin(), rows.end(), [](const AllocationRow& a, const AllocationRow& b) { return a.bytes > b.bytes; });
  rows.resize(std::min(rows.size(), kMostRows));
  return rows;
}

}  // namespace

Allocations allocations_of(const Model& model) {
  const Heap& heap = model.heap;
  const AllocationTables& tables = model.recording.allocations;
  Allocations allocations;
  allocations.known = heap.missing.empty();
  if (!allocations.known) return allocations;
  allocations.exact = heap.exact;
  allocations.allocator = tables.allocator;
  allocations.blocks = heap.blocks, allocations.bytes = heap.bytes;
  for (const HeapSite& site : heap.sites) allocations.bytes_deviation = std::hypot(allocations.bytes_deviation, site.bytes_deviation);
  allocations.live_blocks = heap.live_blocks, allocations.live_bytes = heap.live_bytes;
  allocations.peak_bytes = heap.peak_bytes, allocations.peak_bound_bytes = std::max(heap.peak_bytes, heap.peak_bound_bytes);
  allocations.cost_seconds = heap.cost_seconds;
  const double cpu = static_cast<double>(model.cpu.cpu_ns) * 1e-9;
  allocations.cost_fraction = cpu > 0 ? std::min(1.0, heap.cost_seconds / cpu) : 0;
  allocations.unknown_frees = tables.unknown_frees;
  for (std::size_t i = 0; i < heap.times.size(); ++i) allocations.live.push_back({heap.times[i], heap.live[i]});
  allocations.sites = rows_of(model);
  return allocations;
}

}  // namespace tailback::analyzers
