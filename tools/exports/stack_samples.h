// SPDX-License-Identifier: Apache-2.0
// What every export writes: weighted stacks of one kind. CPU time comes from all processes of a model, grouped by thread where asked
// for; nothing is dropped: CPU time without a stack stands under the thread group's start routine. Allocations are those of the
// model's own process, by site.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "analyzers/model/model.h"

namespace tailback::tools {

struct ValueType {
  const char* type;  // as pprof calls it
  const char* unit;
};

// A kind of profile: what each stack's values mean.
struct ProfileKind {
  const char* name;
  std::span<const ValueType> values;  // at most kMostValues
  std::size_t shown;                  // which of them a viewer shows first
  ValueType period;
  bool of_heap;
};

inline constexpr std::size_t kMostValues = 4;

// cpu, heap (total and live), allocs (total), peak (live when the process held most).
std::span<const ProfileKind> profile_kinds();

struct StackSample {
  const analyzers::Recording& recording;
  const analyzers::Symbols& symbols;
  analyzers::StackId stack = 0;     // 0: no stack, see start_routine
  std::uint64_t start_routine = 0;  // of the thread, for samples without a stack; 0 unknown
  std::string thread_name;          // of the thread, or of the group; empty unless by_thread
  std::uint64_t tid = 0;            // 0: several threads
  std::array<std::uint64_t, kMostValues> values{};
};

// by_thread is for CPU time only: sites of allocations are not told apart by thread.
void for_each_stack_sample(const analyzers::Model& model, const ProfileKind& kind, bool by_thread,
                           const std::function<void(const StackSample&)>& visit);

inline constexpr const char* kNoStack = "[no stack]";
inline constexpr const char* kTruncated = "[truncated]";  // outermost frame of a stack whose root was not reached
inline constexpr const char* kFolded = "[folded frames]";

}  // namespace tailback::tools
