// SPDX-License-Identifier: Apache-2.0
// What every export of CPU time writes: weighted stacks of all processes of a model, grouped by thread where asked for.
// Nothing is dropped: CPU time without a stack stands under the thread group's start routine.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "analyzers/model/model.h"

namespace tailback::tools {

struct StackSample {
  const analyzers::Recording& recording;
  const analyzers::Symbols& symbols;
  analyzers::StackId stack = 0;     // 0: no stack, see start_routine
  std::uint64_t start_routine = 0;  // of the thread, for samples without a stack; 0 unknown
  std::string thread_name;          // of the thread, or of the group; empty unless by_thread
  std::uint64_t tid = 0;            // 0: several threads
  std::uint64_t samples = 0;
  std::uint64_t cpu_ns = 0;
};

void for_each_stack_sample(const analyzers::Model& model, bool by_thread, const std::function<void(const StackSample&)>& visit);

inline constexpr const char* kNoStack = "[no stack]";
inline constexpr const char* kTruncated = "[truncated]";  // outermost frame of a stack whose root was not reached
inline constexpr const char* kFolded = "[folded frames]";

}  // namespace tailback::tools
