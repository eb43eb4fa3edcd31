// SPDX-License-Identifier: Apache-2.0
// Fills a Recording from what other tools' profiles hold: modules, the tree of stacks, names, allocation sites, CPU samples. Every table
// has a limit; what comes beyond it is counted and told, and its weight goes to no stack.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "analyzers/model/recording.h"

namespace tailback::analyzers::foreign {

struct HeapSums {  // of one stack
  double blocks = 0, bytes = 0;            // ever allocated
  double live_blocks = 0, live_bytes = 0;
  double samples = 0;                      // behind the figures when they are estimates; 0: exact
  double variance = 0;                     // of bytes
};

// What a sample of `blocks` blocks with `bytes` stands for when one is drawn for every `interval` bytes on average:
// each block is seen with probability 1 - exp(-size / interval) (gperftools, Go and jemalloc all sample so).
HeapSums unsampled(double blocks, double bytes, double interval);

class RecordingBuilder {
 public:
  static constexpr std::size_t kMostNodes = 1 << 24, kMostModules = 1 << 16, kMostFrames = 1 << 22, kMostDepth = 1024;

  RecordingBuilder(Recording& recording, std::string format, std::string holds);

  Recording& recording() { return out_; }

  // By name only: nothing says where it was mapped.
  ModuleId module_named(std::string_view path);
  ModuleId module_at(std::uint64_t start, std::uint64_t end, std::uint64_t bias, std::string path, std::string build_id);
  // The function at an address, depth 0 the innermost inlined. False: too many.
  bool frame(ModuleId module, std::uint64_t address, std::uint32_t depth, std::string_view function, std::string_view file, std::uint64_t line);
  // The stack of `addresses`, innermost first; the outermost of very deep ones are cut off.
  struct Place {
    ModuleId module = 0;
    std::uint64_t address = 0;
  };
  StackId stack(const std::vector<Place>& innermost_first);

  void add_allocations(StackId stack, const HeapSums& sums);
  void add_cpu(StackId stack, std::uint64_t samples, std::uint64_t ns);
  void ignore() { ++ignored_; }

  // Sums, times and the notes about what was left out. Call once, at the end.
  void finish(std::uint64_t duration_ns, bool whole);

 private:
  StackId child(StackId parent, const Place& place, std::uint8_t kind);
  void finish_heap();
  void finish_cpu();

  struct NodeKey {
    StackId parent;
    ModuleId module;
    std::uint64_t address;
    bool operator==(const NodeKey&) const = default;
  };
  struct NodeHash {
    std::size_t operator()(const NodeKey& key) const {
      return (key.address + (std::uint64_t{key.parent} << 32 | key.module)) * 0x9e3779b97f4a7c15u >> 3;
    }
  };
  struct CpuSums {
    std::uint64_t samples = 0, ns = 0;
  };

  Recording& out_;
  std::map<std::string, ModuleId, std::less<>> named_;
  std::unordered_map<NodeKey, StackId, NodeHash> children_;
  std::map<StackId, HeapSums> heap_;
  std::map<StackId, CpuSums> cpu_;
  std::uint64_t ignored_ = 0, left_out_ = 0;
};

}  // namespace tailback::analyzers::foreign
