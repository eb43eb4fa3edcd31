// SPDX-License-Identifier: Apache-2.0
// The tree of stacks seen: a node is a frame called from its parent node, so a stack is the number of its innermost node.
// Lock-free and insert-only: any thread, any signal handler, at any moment; two racing inserts of one edge may leave an
// unused number behind. Memory is reserved at start and touched as it fills; at 7/8 full new stacks are folded (kFolded),
// at the limit intern() returns 0 and counts.
#pragma once
#include <atomic>
#include <cstdint>

namespace tailback::capture {

using StackId = std::uint32_t;  // 0 none

enum class NodeKind : std::uint32_t { code = 0, unknown_beyond = 1, generation = 2, folded = 3 };

struct StackNode {
  std::uint64_t address;
  StackId parent;
  std::uint32_t kind;  // NodeKind
};
static_assert(sizeof(StackNode) == 16);

class StackTable {
 public:
  // Reserves the memory for at most `max_nodes` nodes. Not thread-safe; call once before use. False: no memory.
  bool init(std::uint32_t max_nodes);

  // Of a table that will be large.
  void prefer_large_pages();

  // In the child after fork, where the nodes' pages are wiped.
  void after_fork();

  // Forgets all nodes and gives their memory back. Nobody else may use the table meanwhile, and kept walks (WalkCache) of before must
  // not be used any more.
  void reset();

  // The number of the edge (parent, address, kind), inserted when new. 0 when the table is full.
  StackId intern(StackId parent, std::uint64_t address, NodeKind kind = NodeKind::code) {
    const auto path = extend(path_hash(parent), address, kind);
    std::uint32_t slot;
    const auto known = index_.probe(parent, address, kind, path, slot);
    return known ? known : insert(parent, address, kind, path, slot);
  }

  // The number of an edge that is there already, or 0.
  StackId find(StackId parent, std::uint64_t address, NodeKind kind = NodeKind::code) const {
    std::uint32_t slot;
    return index_.probe(parent, address, kind, extend(path_hash(parent), address, kind), slot);
  }

  // The parts of intern(), for whoever interns whole paths: who carries the hash of the path along does not wait for the
  // memory of one look-up before the next.
  struct Index {
    const StackNode* nodes = nullptr;
    const std::atomic<std::uint32_t>* slots = nullptr;
    std::uint32_t mask = 0;

    // The edge's number, or 0 and the empty slot where it belongs.
    StackId probe(StackId parent, std::uint64_t address, NodeKind kind, std::uint32_t path, std::uint32_t& slot) const {
      for (slot = path & mask;; slot = (slot + 1) & mask) {
        const auto id = slots[slot].load(std::memory_order_acquire);
        if (id == 0) return 0;
        const auto& node = nodes[id];
        if (node.address == address && node.parent == parent && node.kind == static_cast<std::uint32_t>(kind)) [[likely]] return id;
      }
    }
  };
  const Index& index() const { return index_; }
  std::uint32_t path_hash(StackId id) const { return hashes_[id]; }
  static std::uint32_t extend(std::uint32_t path, std::uint64_t address, NodeKind kind) {
    const std::uint64_t mixed = std::uint64_t{path} << 32 ^ address ^ static_cast<std::uint64_t>(kind) << 61;
    return static_cast<std::uint32_t>(mixed * 0x9e3779b97f4a7c15ull >> 32);
  }
  // Inserts an edge that probe() did not find; `path` and `slot` as there.
  StackId insert(StackId parent, std::uint64_t address, NodeKind kind, std::uint32_t path, std::uint32_t slot) noexcept;

  // Nodes handed out so far: ids are 1..count(). A node may still be unpublished (see node()).
  std::uint32_t count() const;
  // The node of an id, or nullptr while another thread is still writing it (or its number was wasted by a race).
  const StackNode* node(StackId id) const;
  bool nearly_full() const;
  std::uint64_t rejected() const { return rejected_.load(std::memory_order_relaxed); }
  std::uint64_t resident_bytes() const;

 private:
  StackId claim(StackId parent, std::uint64_t address, NodeKind kind, std::uint32_t path);

  Index index_;
  StackNode* nodes_ = nullptr;
  std::uint32_t* hashes_ = nullptr;                  // of the path from the root to each node
  std::atomic<std::uint64_t>* published_ = nullptr;  // a bit for each node that is written
  std::atomic<std::uint32_t>* slots_ = nullptr;
  std::uint32_t max_nodes_ = 0;
  std::atomic<std::uint32_t> next_{1};
  std::atomic<std::uint64_t> rejected_{0};
};

}  // namespace tailback::capture
