// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/main_in_group.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "analyzers/model/thread_kinds.h"

namespace tailback::analyzers {
namespace {

struct Work {  // without what is spun away
  std::vector<StackWeight> stacks;
  double ns = 0;
};

Work work_of(const Model& model, const ThreadGroup& group) {
  Work work;
  for (const StackWeight& weight : group.stacks)
    if (!model.spinning.at(weight.stack)) work.stacks.push_back(weight), work.ns += static_cast<double>(weight.ns);
  return work;
}

// CPU time (ns) under each function that is the first of its module on a stack, seen from the root.
std::map<FunctionId, double> times_by_first(const Model& model, const Work& work) {
  std::map<FunctionId, double> times;
  for (const StackWeight& weight : work.stacks) {
    std::map<std::string_view, FunctionId> first;
    for (StackId id = weight.stack; id && id < model.recording.nodes.size(); id = model.recording.nodes[id].parent) {
      if (model.recording.nodes[id].kind != 0) continue;
      for (const SymbolFrame& frame : model.symbols->frames(id)) {
        const std::string& module = model.symbols->module_name(frame.function);
        if (frame.function && !is_thread_plumbing(model.symbols->function_name(frame.function), module)) first[module] = frame.function;
      }
    }
    for (const auto& [module, function] : first) times[function] += static_cast<double>(weight.ns);
  }
  return times;
}

}  // namespace

double part_of_main(const Model& model, const ThreadGroup& group) {
  constexpr double kMostOfIts = 0.5;
  const auto main = std::find_if(model.cpu.groups.begin(), model.cpu.groups.end(), [](const ThreadGroup& one) { return one.is_main; });
  if (main == model.cpu.groups.end() || group.is_main) return 0;
  const Work by_main = work_of(model, *main), by_group = work_of(model, group);
  std::map<FunctionId, double> of_main;
  for (const FunctionTime& time : model.cpu.functions_of(by_main.stacks)) of_main[time.function] = static_cast<double>(time.total_ns);
  double part = 0;
  for (const auto& [function, ns] : times_by_first(model, by_group))
    if (const auto known = of_main.find(function); known != of_main.end() && ns >= kMostOfIts * by_group.ns) part = std::max(part, known->second / by_main.ns);
  return part >= kMostOfIts ? part : 0;
}

}  // namespace tailback::analyzers
