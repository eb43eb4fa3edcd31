// SPDX-License-Identifier: Apache-2.0
#include "tools/exports/stack_samples.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace tailback::tools {

namespace {

using namespace analyzers;

constexpr ValueType kCpuValues[] = {{"samples", "count"}, {"cpu", "nanoseconds"}};
// In the order of Go's and gperftools' heap profiles.
constexpr ValueType kHeapValues[] = {{"alloc_objects", "count"}, {"alloc_space", "bytes"}, {"inuse_objects", "count"}, {"inuse_space", "bytes"}};
constexpr ValueType kPeakValues[] = {{"peak_space", "bytes"}};
constexpr ValueType kCpuPeriod = {"cpu", "nanoseconds"}, kHeapPeriod = {"space", "bytes"};
constexpr ProfileKind kKinds[] = {
    {"cpu", kCpuValues, 1, kCpuPeriod, false},
    {"heap", kHeapValues, 3, kHeapPeriod, true},
    {"allocs", std::span(kHeapValues).first(2), 1, kHeapPeriod, true},
    {"peak", kPeakValues, 0, kHeapPeriod, true},
};

struct Weight {
  std::uint64_t samples = 0, ns = 0;
};

std::string name_of(const ThreadTable::Row* thread) {
  if (!thread) return "short-lived threads";
  return thread->name.empty() ? "thread " + std::to_string(thread->tid) : thread->name;
}

class Process {
 public:
  Process(const Recording& recording, const Symbols& symbols, bool by_thread,
          const std::function<void(const StackSample&)>& visit)
      : recording_(recording), symbols_(symbols), by_thread_(by_thread), visit_(visit) {}

  void with_stacks() {
    std::map<std::pair<ThreadId, StackId>, Weight> weights;
    for (const CpuRow& row : recording_.cpu) {
      Weight& weight = weights[{by_thread_ ? row.thread : 0, row.stack}];
      weight.samples += row.samples;
      weight.ns += row.weight_ns;
      sampled_[row.thread] += row.weight_ns;
    }
    for (const auto& [key, weight] : weights) emit(key.first, key.second, 0, weight);
  }

  // By the CPU clocks, what the samples do not stand for.
  void without_stacks() {
    std::map<std::pair<ThreadId, std::uint64_t>, Weight> weights;
    for (const ThreadTable::Row& thread : recording_.threads.rows) {
      const std::uint64_t cpu = thread.states.empty() ? 0 : thread.states.back().cpu_ns;
      const std::uint64_t sampled = sampled_[thread.id];
      if (cpu > sampled) weights[{by_thread_ ? thread.id : 0, thread.start_routine}].ns += cpu - sampled;
    }
    std::uint64_t sampled_in_groups = sampled_[0];
    for (const ThreadGroupRow& group : recording_.thread_groups) {
      const std::uint64_t covered = std::min(sampled_in_groups, group.cpu_ns);
      sampled_in_groups -= covered;
      if (group.cpu_ns > covered) weights[{0, group.start_routine}].ns += group.cpu_ns - covered;
    }
    for (const auto& [key, weight] : weights) emit(key.first, 0, key.second, weight);
  }

 private:
  void emit(ThreadId thread, StackId stack, std::uint64_t start_routine, const Weight& weight) {
    StackSample sample{recording_, symbols_, stack, start_routine, {}, 0, {weight.samples, weight.ns}};
    if (by_thread_) {
      const ThreadTable::Row* row = thread ? recording_.threads.find(thread) : nullptr;
      sample.thread_name = name_of(row);
      sample.tid = row ? row->tid : 0;
    }
    visit_(sample);
  }

  const Recording& recording_;
  const Symbols& symbols_;
  bool by_thread_;
  const std::function<void(const StackSample&)>& visit_;
  std::map<ThreadId, std::uint64_t> sampled_;
};

void visit_process(const Recording& recording, const Symbols& symbols, bool by_thread,
                   const std::function<void(const StackSample&)>& visit) {
  Process process(recording, symbols, by_thread, visit);
  process.with_stacks();
  process.without_stacks();
}

std::uint64_t whole(double value) {
  constexpr double kMost = 9e18;  // values are signed 64-bit numbers in every format
  return value > 0 ? static_cast<std::uint64_t>(std::llround(std::min(value, kMost))) : 0;
}

void visit_heap(const Model& model, bool peak, const std::function<void(const StackSample&)>& visit) {
  for (const HeapSite& site : model.heap.sites) {
    StackSample sample{model.recording, *model.symbols, site.stack, 0, {}, 0, {}};
    if (peak)
      sample.values = {whole(site.peak_bytes)};
    else
      sample.values = {whole(site.blocks), whole(site.bytes), whole(site.live_blocks()), whole(site.live_bytes())};
    visit(sample);
  }
}

}  // namespace

std::span<const ProfileKind> profile_kinds() { return kKinds; }

void for_each_stack_sample(const Model& model, const ProfileKind& kind, bool by_thread,
                           const std::function<void(const StackSample&)>& visit) {
  if (kind.of_heap) return visit_heap(model, kind.values.data() == kPeakValues, visit);
  visit_process(model.recording, *model.symbols, by_thread, visit);
  for (const Recording& other : model.others) visit_process(other, Symbols(other, {}), by_thread, visit);
}

}  // namespace tailback::tools
