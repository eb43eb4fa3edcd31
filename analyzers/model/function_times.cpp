// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/function_times.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace tailback::analyzers {

StackTree::StackTree(const std::vector<NodeRow>& nodes, std::span<const StackWeight> stacks) {
  std::vector<std::uint32_t> index(nodes.size(), kRoot);
  for (const StackWeight& stack : stacks)
    for (StackId id = stack.stack; id && id < nodes.size() && index[id] == kRoot; id = nodes[id].parent) {
      index[id] = 0;
      nodes_.push_back({.id = id});
    }
  std::sort(nodes_.begin(), nodes_.end(), [](const Node& a, const Node& b) { return a.id < b.id; });
  for (std::uint32_t i = 0; i < nodes_.size(); ++i) {
    index[nodes_[i].id] = i;
    const StackId parent = nodes[nodes_[i].id].parent;
    nodes_[i].parent = parent ? index[parent] : kRoot;
  }
  for (const StackWeight& stack : stacks) {
    if (!stack.stack || stack.stack >= nodes.size()) continue;
    Node& node = nodes_[index[stack.stack]];
    node.self_ns += stack.ns;
    node.samples += stack.samples;
  }
  for (std::size_t i = nodes_.size(); i-- > 0;) {
    nodes_[i].total_ns += nodes_[i].self_ns;
    if (nodes_[i].parent != kRoot) nodes_[nodes_[i].parent].total_ns += nodes_[i].total_ns;
  }
}

std::vector<FunctionTime> function_times(const StackTree& tree, const std::vector<NodeRow>& rows, const Symbols& symbols) {
  std::vector<FunctionTime> times;
  std::vector<std::uint32_t> on_path;
  const auto room_for = [&](FunctionId id) {
    if (id < times.size()) return;
    times.resize(id + 1);
    on_path.resize(id + 1);
  };
  const auto enter = [&](const StackTree::Node& node) {
    if (rows[node.id].kind != 0) return;
    const auto frames = symbols.frames(node.id);
    for (const SymbolFrame& frame : frames) {
      room_for(frame.function);
      if (on_path[frame.function]++ == 0) times[frame.function].total_ns += node.total_ns;
    }
    if (frames.empty() || !node.self_ns) return;
    times[frames.front().function].self_ns += node.self_ns;
    times[frames.front().function].samples += node.samples;
  };
  const auto leave = [&](const StackTree::Node& node) {
    if (rows[node.id].kind != 0) return;
    for (const SymbolFrame& frame : symbols.frames(node.id)) --on_path[frame.function];
  };
  tree.walk(enter, leave);
  for (FunctionId id = 0; id < times.size(); ++id) times[id].function = id;
  std::erase_if(times, [](const FunctionTime& time) { return time.function == 0 || time.total_ns == 0; });
  std::sort(times.begin(), times.end(), [](const FunctionTime& a, const FunctionTime& b) {
    return std::tie(b.self_ns, b.total_ns, a.function) < std::tie(a.self_ns, a.total_ns, b.function);
  });
  return times;
}

std::vector<LineTime> line_times(const StackTree& tree, const std::vector<NodeRow>& rows, const Symbols& symbols) {
  std::map<std::tuple<FunctionId, std::uint32_t, std::uint32_t>, std::uint64_t> sums;
  for (const auto& node : tree.nodes()) {
    if (!node.self_ns || rows[node.id].kind != 0) continue;
    const auto frames = symbols.frames(node.id);
    if (frames.empty() || !frames.front().line) continue;
    sums[{frames.front().function, frames.front().file, frames.front().line}] += node.self_ns;
  }
  std::vector<LineTime> lines;
  for (const auto& [key, ns] : sums) lines.push_back({std::get<0>(key), std::get<1>(key), std::get<2>(key), ns});
  std::stable_sort(lines.begin(), lines.end(), [](const LineTime& a, const LineTime& b) { return a.self_ns > b.self_ns; });
  return lines;
}

}  // namespace tailback::analyzers
