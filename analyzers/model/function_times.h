// SPDX-License-Identifier: Apache-2.0
// Self and total time of each function over weighted stacks. Works on the tree of stacks, not on each stack: every node
// is visited once, whatever number of stacks lies below it. A function's total counts a stack once however often it
// recurses: only its outermost frame on a path adds what lies beneath.
#pragma once
#include <span>
#include <vector>

#include "analyzers/model/cpu_profile.h"

namespace tailback::analyzers {

// The part of the tree that some stacks use, in an order in which parents come before their children.
class StackTree {
 public:
  StackTree(const std::vector<NodeRow>& nodes, std::span<const StackWeight> stacks);

  struct Node {
    StackId id = 0;
    std::uint32_t parent = 0;   // index into nodes(), kRoot: none
    std::uint64_t self_ns = 0;  // of stacks that end here
    std::uint64_t total_ns = 0; // of stacks that pass or end here
    std::uint64_t samples = 0;
  };
  static constexpr std::uint32_t kRoot = ~0u;
  const std::vector<Node>& nodes() const { return nodes_; }

  // Calls enter(node) and leave(node) in depth-first order; no recursion, so no stack is too deep.
  template <class Enter, class Leave>
  void walk(Enter&& enter, Leave&& leave) const;

 private:
  std::vector<Node> nodes_;
};

std::vector<FunctionTime> function_times(const StackTree& tree, const std::vector<NodeRow>& rows, const Symbols& symbols);
std::vector<LineTime> line_times(const StackTree& tree, const std::vector<NodeRow>& rows, const Symbols& symbols);

template <class Enter, class Leave>
void StackTree::walk(Enter&& enter, Leave&& leave) const {
  std::vector<std::uint32_t> first(nodes_.size(), kRoot), next(nodes_.size(), kRoot);
  std::uint32_t roots = kRoot;
  for (auto i = static_cast<std::uint32_t>(nodes_.size()); i-- > 0;) {
    std::uint32_t& head = nodes_[i].parent == kRoot ? roots : first[nodes_[i].parent];
    next[i] = head;
    head = i;
  }
  for (std::uint32_t at = roots; at != kRoot;) {
    enter(nodes_[at]);
    if (first[at] != kRoot) {
      at = first[at];
      continue;
    }
    leave(nodes_[at]);
    while (next[at] == kRoot && nodes_[at].parent != kRoot) leave(nodes_[at = nodes_[at].parent]);
    at = next[at];
  }
}

}  // namespace tailback::analyzers
