// SPDX-License-Identifier: Apache-2.0
// CPU time by stack, function, line and group of threads. Samples are scaled so that each thread group's sum equals its CPU
// clocks: time without a sample (short threads, lost signals) is booked as unsampled under the group's start routine,
// never spread over stacks it may not belong to.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "analyzers/model/recording.h"
#include "analyzers/model/symbols.h"

namespace tailback::analyzers {

struct StackWeight {
  StackId stack = 0;
  std::uint64_t ns = 0;
  std::uint64_t samples = 0;
};

// Threads that do the same kind of work: same start routine (for std::thread: same callable), created at the same place.
// The main thread is a group of its own.
struct ThreadGroup {
  std::uint32_t id = 0;
  std::string label;                    // what a person would call it: thread name or start function
  std::vector<ThreadId> threads;        // those listed singly
  std::uint64_t thread_count = 0;       // all, short-lived ones included
  StackId creation_stack = 0;
  std::uint64_t start_routine = 0;
  bool is_main = false;
  std::uint64_t cpu_ns = 0;             // by the CPU clocks, exact
  std::uint64_t sampled_ns = 0;         // of that, with stacks
  std::uint64_t lifetime_ns = 0;        // sum
  std::uint64_t run_delay_ns = 0;       // sum
  std::vector<StackWeight> stacks;      // descending ns; scaled
};

struct FunctionTime {
  FunctionId function = 0;
  std::uint64_t self_ns = 0;   // innermost frame, inlined functions counted as themselves
  std::uint64_t total_ns = 0;  // anywhere on the stack, recursion counted once
  std::uint64_t samples = 0;   // behind self_ns
};

struct LineTime {
  FunctionId function = 0;
  std::uint32_t file = 0, line = 0;
  std::uint64_t self_ns = 0;
};

class CpuProfile {
 public:
  CpuProfile() = default;
  static CpuProfile build(const Recording& recording, const Symbols& symbols);

  std::uint64_t cpu_ns = 0;       // all threads, by their CPU clocks
  std::uint64_t sampled_ns = 0;   // of that, with stacks
  std::uint64_t samples = 0;      // number of samples behind sampled_ns
  std::uint64_t kernel_ns = 0;    // system time by the kernel's split
  std::vector<ThreadGroup> groups;      // busiest first
  std::vector<StackWeight> stacks;      // all groups merged, descending
  std::vector<FunctionTime> functions;  // descending self_ns
  std::vector<LineTime> lines;          // descending self_ns, only those with a line

  const FunctionTime* function(FunctionId id) const;
  // Heaviest stacks whose innermost function is `id` (self) or that contain it (total).
  std::vector<StackWeight> stacks_of(FunctionId id, bool self, std::size_t most) const;
  // The table of functions for some of the stacks, such as those of one group. Descending self_ns.
  std::vector<FunctionTime> functions_of(std::span<const StackWeight> stacks) const;
  // The group of a thread listed singly; nullptr when there is none.
  const ThreadGroup* group_of(ThreadId thread) const;
  // CPU time of a thread listed singly, and how much of it has stacks (scaled as its group).
  struct ThreadTime { std::uint64_t cpu_ns = 0, sampled_ns = 0; };
  ThreadTime thread_time(ThreadId thread) const;

 private:
  void build_groups();
  void merge_groups();
  // What was built from; must outlive the profile.
  const Recording* recording_ = nullptr;
  const Symbols* symbols_ = nullptr;
  std::unordered_map<FunctionId, std::size_t> function_index_;
  std::unordered_map<ThreadId, std::size_t> group_index_;
  std::unordered_map<ThreadId, ThreadTime> thread_times_;
};

}  // namespace tailback::analyzers
