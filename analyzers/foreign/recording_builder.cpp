// SPDX-License-Identifier: Apache-2.0
#include "analyzers/foreign/recording_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace tailback::analyzers::foreign {

namespace {

constexpr std::uint64_t kMostNs = std::uint64_t{1} << 61;  // as in dumps: longer times are damage

std::uint64_t whole(double value) { return value > 0 ? static_cast<std::uint64_t>(std::llround(std::min(value, 9e18))) : 0; }

}  // namespace

HeapSums unsampled(double blocks, double bytes, double interval) {
  HeapSums sums{blocks, bytes, 0, 0, blocks, 0};
  if (blocks <= 0 || bytes <= 0 || interval <= 1) return sums;
  const double seen = -std::expm1(-bytes / blocks / interval);
  sums.blocks = blocks / seen;
  sums.bytes = bytes / seen;
  sums.variance = blocks * (1 - seen) * std::pow(bytes / blocks / seen, 2);
  return sums;
}

RecordingBuilder::RecordingBuilder(Recording& recording, std::string format, std::string holds) : out_(recording) {
  out_.source = {std::move(format), std::move(holds)};
  out_.nodes.resize(1);
}

ModuleId RecordingBuilder::module_named(std::string_view path) {
  if (path.empty()) return 0;
  if (const auto known = named_.find(path); known != named_.end()) return known->second;
  const ModuleId id = module_at(0, 0, 0, std::string(path), {});
  if (id) out_.modules.back().placed = false;
  named_.emplace(path, id);
  return id;
}

ModuleId RecordingBuilder::module_at(std::uint64_t start, std::uint64_t end, std::uint64_t bias, std::string path, std::string build_id) {
  if (out_.modules.size() >= kMostModules) return ++left_out_, 0;
  ModuleRow row;
  row.id = static_cast<ModuleId>(out_.modules.size() + 1);
  row.start = start;
  row.end = end;
  row.bias = bias;
  row.path = std::move(path);
  row.build_id = std::move(build_id);
  out_.modules.push_back(std::move(row));
  return out_.modules.back().id;
}

bool RecordingBuilder::frame(ModuleId module, std::uint64_t address, std::uint32_t depth, std::string_view function, std::string_view file,
                             std::uint64_t line) {
  if (out_.frame_infos.size() >= kMostFrames) return ++left_out_, false;
  constexpr std::uint64_t kMostLine = 0x7fffffff;
  out_.frame_infos.push_back({address, module, depth, static_cast<std::uint32_t>(std::min(line, kMostLine)), std::string(function), std::string(file)});
  return true;
}

StackId RecordingBuilder::child(StackId parent, const Place& place, std::uint8_t kind) {
  const NodeKey key{parent, place.module, kind ? ~std::uint64_t{0} : place.address};
  if (const auto known = children_.find(key); known != children_.end()) return known->second;
  if (out_.nodes.size() >= kMostNodes) return ++left_out_, 0;
  const auto id = static_cast<StackId>(out_.nodes.size());
  out_.nodes.push_back({place.address, parent, kind, 0, place.module});
  children_.emplace(key, id);
  return id;
}

StackId RecordingBuilder::stack(const std::vector<Place>& innermost_first) {
  const std::size_t kept = std::min(innermost_first.size(), kMostDepth);
  StackId node = kept < innermost_first.size() ? child(0, {}, 1) : 0;
  for (std::size_t i = kept; i-- > 0;) {
    node = child(node, innermost_first[i], 0);
    if (!node) return 0;
  }
  return node;
}

void RecordingBuilder::add_allocations(StackId stack, const HeapSums& sums) {
  HeapSums& all = heap_[stack];
  all.blocks += sums.blocks;
  all.bytes += sums.bytes;
  all.live_blocks += sums.live_blocks;
  all.live_bytes += sums.live_bytes;
  all.samples += sums.samples;
  all.variance += sums.variance;
}

void RecordingBuilder::add_cpu(StackId stack, std::uint64_t samples, std::uint64_t ns) {
  CpuSums& all = cpu_[stack];
  all.samples += std::min(samples, kMostNs - std::min(all.samples, kMostNs));
  all.ns += std::min(ns, kMostNs - std::min(all.ns, kMostNs));
}

void RecordingBuilder::finish_heap() {
  AllocationTables& heap = out_.allocations;
  HeapPoint last;
  last.t = out_.duration_ns;
  for (const auto& [stack, sums] : heap_) {
    AllocationSiteRow row;
    row.stack = stack;
    row.blocks = whole(std::max(sums.blocks, sums.live_blocks));
    row.bytes = whole(std::max(sums.bytes, sums.live_bytes));
    row.freed_blocks = row.blocks - whole(sums.live_blocks);
    row.freed_bytes = row.bytes - whole(sums.live_bytes);
    row.live.push_back({out_.duration_ns, row.live_bytes(), row.live_blocks()});
    last.blocks += row.blocks, last.bytes += row.bytes;
    last.freed_blocks += row.freed_blocks, last.freed_bytes += row.freed_bytes;
    if (!heap.exact) {
      AllocationSampleRow& sample = heap.samples.emplace_back();
      sample.stack = stack;
      sample.samples = whole(sums.samples);
      sample.blocks = sums.blocks;
      sample.bytes = sums.bytes;
      sample.bytes_deviation = std::sqrt(sums.variance);
    }
    heap.sites.push_back(std::move(row));
  }
  if (heap.seen) heap.heap.push_back(last);
}

void RecordingBuilder::finish_cpu() {
  if (cpu_.empty()) return;
  constexpr std::uint64_t kMostSamples = 0xffffffff;
  ThreadTable::Row& thread = out_.threads.rows.emplace_back();
  thread.id = 1;
  thread.name = "all threads";
  ThreadCounters& clock = thread.states.emplace_back();
  clock.t = out_.duration_ns;
  const auto milliseconds = static_cast<std::uint32_t>(std::min<std::uint64_t>(out_.duration_ns / 1'000'000, 0x7fffffff));
  for (const auto& [stack, sums] : cpu_) {
    const auto samples = static_cast<std::uint32_t>(std::min(sums.samples, kMostSamples));
    const std::uint64_t ns = std::min(sums.ns, kMostNs - std::min(clock.cpu_ns, kMostNs));
    out_.cpu.push_back({milliseconds, milliseconds, 1, stack, samples, ns});
    clock.cpu_ns += ns;
    clock.samples += samples;
  }
  clock.sampled_ns = out_.whole_cpu_ns = clock.cpu_ns;
  out_.total_samples = clock.samples;
}

void RecordingBuilder::finish(std::uint64_t duration_ns, bool whole) {
  out_.duration_ns = out_.to_ns = std::min(duration_ns, kMostNs);
  out_.complete = whole;
  if (whole) out_.end = trace::SessionEnd{};
  finish_heap();
  finish_cpu();
  if (ignored_) out_.reader_notes.push_back(fmt::format("lines or messages of the {} that make no sense, left out: {}", out_.source.format, ignored_));
  if (left_out_)
    out_.reader_notes.push_back(fmt::format("the {} holds more stacks or names than are kept; without a stack or a name: {}", out_.source.format, left_out_));
}

}  // namespace tailback::analyzers::foreign
