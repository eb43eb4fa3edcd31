// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/cpu_profile.h"

#include <algorithm>
#include <tuple>

#include "analyzers/model/function_times.h"
#include "analyzers/model/thread_kinds.h"

namespace tailback::analyzers {

namespace {

using StackSums = std::unordered_map<StackId, StackWeight>;

void add(StackSums& sums, StackId stack, std::uint64_t ns, std::uint64_t samples) {
  StackWeight& sum = sums.try_emplace(stack, StackWeight{stack, 0, 0}).first->second;
  sum.ns += ns;
  sum.samples += samples;
}

std::vector<StackWeight> descending(const StackSums& sums) {
  std::vector<StackWeight> stacks;
  stacks.reserve(sums.size());
  for (const auto& [id, weight] : sums) stacks.push_back(weight);
  std::sort(stacks.begin(), stacks.end(), [](const StackWeight& a, const StackWeight& b) {
    return std::tie(b.ns, a.stack) < std::tie(a.ns, b.stack);
  });
  return stacks;
}

std::uint64_t scaled(std::uint64_t ns, double factor) {
  return factor == 1 ? ns : static_cast<std::uint64_t>(static_cast<double>(ns) * factor);
}

// CPU time of each thread. The clock is exact but was last read up to a second before the end when the recording broke
// off: what was sampled after that counts on top.
class ThreadClocks {
 public:
  explicit ThreadClocks(const Recording& recording) {
    std::unordered_map<ThreadId, std::uint64_t> read_at;
    for (const auto& thread : recording.threads.rows) {
      const auto* last = thread.states.empty() ? nullptr : &thread.states.back();
      times_[thread.id].clock_ns = last ? last->cpu_ns : 0;
      const bool final = last && (recording.complete || thread.end_ns);
      read_at[thread.id] = final ? ~std::uint64_t{0} : last ? last->t : 0;
    }
    for (const CpuRow& row : recording.cpu) {
      Time& time = times_[row.thread];
      time.sampled_ns += row.weight_ns;
      const std::uint64_t middle_ns = (row.end_ms - row.span_ms / 2) * std::uint64_t{1'000'000};
      if (const auto at = read_at.find(row.thread); at != read_at.end() && middle_ns > at->second) time.clock_ns += row.weight_ns;
    }
  }

  struct Time { std::uint64_t clock_ns = 0, sampled_ns = 0; };
  Time of(ThreadId thread) const {
    const auto at = times_.find(thread);
    return at == times_.end() ? Time{} : at->second;
  }

 private:
  std::unordered_map<ThreadId, Time> times_;
};

ThreadGroup group_of_kind(const ThreadKind& kind, const Recording& recording, const ThreadClocks& clocks) {
  ThreadGroup group;
  group.label = kind.label;
  group.creation_stack = kind.creation_stack;
  group.start_routine = kind.start_routine;
  group.is_main = kind.is_main;
  group.thread_count = kind.threads.size();
  for (const auto* thread : kind.threads) {
    group.threads.push_back(thread->id);
    group.cpu_ns += clocks.of(thread->id).clock_ns;
    const std::uint64_t end = thread->end_ns.value_or(recording.to_ns);
    group.lifetime_ns += end > thread->start_ns ? end - thread->start_ns : 0;
    if (!thread->states.empty()) group.run_delay_ns += thread->states.back().run_delay_ns;
  }
  for (const auto* shorts : kind.short_lived) {
    group.thread_count += shorts->count;
    group.cpu_ns += shorts->cpu_ns;
    group.lifetime_ns += shorts->lifetime_ns;
    group.run_delay_ns += shorts->run_delay_ns;
  }
  return group;
}

// To which group the samples of threads not listed singly belong: told by the first function on their stacks.
class ShortLivedGroups {
 public:
  ShortLivedGroups(const std::vector<ThreadKind>& kinds, const ThreadKinds& by_stack) : by_stack_(by_stack) {
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      if (kinds[i].short_lived.empty()) continue;
      std::uint64_t cpu = 0;
      for (const auto* group : kinds[i].short_lived) cpu += group->cpu_ns;
      if (busiest_ == kNone || cpu > most_) busiest_ = i, most_ = cpu;
      if (kinds[i].entry) by_entry_.emplace(kinds[i].entry, i);
    }
  }
  static constexpr std::size_t kNone = ~std::size_t{0};
  std::size_t find(StackId stack) const {
    const auto at = by_entry_.find(by_stack_.entry_of(stack));
    return at == by_entry_.end() ? busiest_ : at->second;
  }

 private:
  const ThreadKinds& by_stack_;
  std::unordered_map<FunctionId, std::size_t> by_entry_;
  std::size_t busiest_ = kNone;
  std::uint64_t most_ = 0;
};

// Brings the samples of a group down to its CPU clocks. Never up: time without a sample stays unsampled.
double reconcile(ThreadGroup& group, const StackSums& sums) {
  std::uint64_t sampled = 0;
  for (const auto& [id, weight] : sums) sampled += weight.ns;
  const double factor = sampled > group.cpu_ns ? static_cast<double>(group.cpu_ns) / static_cast<double>(sampled) : 1;
  group.stacks = descending(sums);
  for (StackWeight& weight : group.stacks) group.sampled_ns += weight.ns = scaled(weight.ns, factor);
  return factor;
}

}  // namespace

CpuProfile CpuProfile::build(const Recording& recording, const Symbols& symbols) {
  CpuProfile profile;
  profile.recording_ = &recording;
  profile.symbols_ = &symbols;
  std::vector<StackId> used;
  for (StackId id = 1; id < recording.nodes.size(); ++id) used.push_back(id);
  symbols.resolve_all(used);
  profile.build_groups();
  profile.merge_groups();
  const StackTree tree(recording.nodes, profile.stacks);
  profile.functions = function_times(tree, recording.nodes, symbols);
  profile.lines = line_times(tree, recording.nodes, symbols);
  for (std::size_t i = 0; i < profile.functions.size(); ++i) profile.function_index_.emplace(profile.functions[i].function, i);
  return profile;
}

void CpuProfile::build_groups() {
  const ThreadClocks clocks(*recording_);
  ThreadKinds finder(*recording_, *symbols_);
  const std::vector<ThreadKind> kinds = finder.take();
  const ShortLivedGroups short_lived(kinds, finder);
  std::unordered_map<ThreadId, std::size_t> group_of_thread;
  for (const ThreadKind& kind : kinds) {
    for (const auto* thread : kind.threads) group_of_thread.emplace(thread->id, groups.size());
    groups.push_back(group_of_kind(kind, *recording_, clocks));
  }
  std::vector<StackSums> sums(groups.size());
  std::size_t orphans = ShortLivedGroups::kNone;
  for (const CpuRow& row : recording_->cpu) {
    const auto listed = group_of_thread.find(row.thread);
    std::size_t group = listed != group_of_thread.end() ? listed->second : short_lived.find(row.stack);
    if (group == ShortLivedGroups::kNone) {  // the record of their group is missing: what was sampled is all that is known
      if (orphans == ShortLivedGroups::kNone) {
        orphans = groups.size();
        groups.emplace_back().label = "threads without a record";
        sums.emplace_back();
      }
      group = orphans;
      groups[group].cpu_ns += row.weight_ns;
    }
    add(sums[group], row.stack, row.weight_ns, row.samples);
  }
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const double factor = reconcile(groups[i], sums[i]);
    for (const ThreadId thread : groups[i].threads) {
      const auto time = clocks.of(thread);
      thread_times_[thread] = {time.clock_ns, std::min(time.clock_ns, scaled(time.sampled_ns, factor))};
    }
  }
}

void CpuProfile::merge_groups() {
  std::stable_sort(groups.begin(), groups.end(), [](const ThreadGroup& a, const ThreadGroup& b) { return a.cpu_ns > b.cpu_ns; });
  StackSums sums;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    groups[i].id = static_cast<std::uint32_t>(i);
    for (const ThreadId thread : groups[i].threads) group_index_.emplace(thread, i);
    cpu_ns += groups[i].cpu_ns;
    sampled_ns += groups[i].sampled_ns;
    for (const StackWeight& weight : groups[i].stacks) {
      add(sums, weight.stack, weight.ns, weight.samples);
      samples += weight.samples;
    }
  }
  for (const auto& thread : recording_->threads.rows)
    if (!thread.states.empty()) kernel_ns += thread.states.back().system_ns;
  for (const auto& group : recording_->thread_groups) kernel_ns += group.system_ns;
  stacks = descending(sums);
}

const FunctionTime* CpuProfile::function(FunctionId id) const {
  const auto at = function_index_.find(id);
  return at == function_index_.end() ? nullptr : &functions[at->second];
}

std::vector<FunctionTime> CpuProfile::functions_of(std::span<const StackWeight> some) const {
  return recording_ ? function_times(StackTree(recording_->nodes, some), recording_->nodes, *symbols_) : std::vector<FunctionTime>{};
}

const ThreadGroup* CpuProfile::group_of(ThreadId thread) const {
  const auto at = group_index_.find(thread);
  return at == group_index_.end() ? nullptr : &groups[at->second];
}

CpuProfile::ThreadTime CpuProfile::thread_time(ThreadId thread) const {
  const auto at = thread_times_.find(thread);
  return at == thread_times_.end() ? ThreadTime{} : at->second;
}

std::vector<StackWeight> CpuProfile::stacks_of(FunctionId id, bool self, std::size_t most) const {
  std::vector<StackWeight> found;
  if (!recording_) return found;
  enum : std::uint8_t { unknown, no, yes };
  std::vector<std::uint8_t> contains(recording_->nodes.size(), unknown);  // of the nodes seen so far: on the way to the root
  std::vector<StackId> path;
  const auto here = [&](StackId node) {
    const auto frames = symbols_->frames(node);
    if (self) return !frames.empty() && frames.front().function == id;
    return std::any_of(frames.begin(), frames.end(), [&](const SymbolFrame& frame) { return frame.function == id; });
  };
  const auto on_stack = [&](StackId stack) {
    path.clear();
    std::uint8_t answer = no;
    for (StackId node = stack; node; node = recording_->nodes[node].parent) {
      if (contains[node] != unknown) { answer = contains[node]; break; }
      path.push_back(node);
      if (here(node)) { answer = yes; break; }
    }
    for (const StackId node : path) contains[node] = answer;
    return answer == yes;
  };
  for (const StackWeight& weight : stacks) {
    if (found.size() == most) break;
    if (weight.stack && (self ? here(weight.stack) : on_stack(weight.stack))) found.push_back(weight);
  }
  return found;
}

}  // namespace tailback::analyzers
