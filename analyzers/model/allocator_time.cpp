// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/allocator_time.h"

#include <algorithm>

#include "analyzers/model/patterns.h"

namespace tailback::analyzers {
namespace {

bool is_any_of(std::string_view name, std::initializer_list<std::string_view> names) { return std::find(names.begin(), names.end(), name) != names.end(); }

bool has_any_of(std::string_view name, std::initializer_list<std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(), [&](std::string_view part) { return name.find(part) != std::string_view::npos; });
}

std::string_view last_component(std::string_view bare) {
  const std::size_t scope = bare.rfind("::");
  return scope == std::string_view::npos ? bare : bare.substr(scope + 2);
}

// Functions that make room for more in containers: libstdc++, libc++, Rust. Their first allocation comes here too.
bool is_growth(std::string_view bare, std::string_view full) {
  const std::string_view last = last_component(bare);
  if (bare.starts_with("std::vector::"))
    return is_any_of(last, {"_M_realloc_insert", "_M_realloc_append", "_M_default_append", "_M_fill_insert", "_M_fill_append", "_M_range_insert", "_M_insert_aux", "__push_back_slow_path", "__emplace_back_slow_path", "__append"});
  if (bare.starts_with("std::basic_string::")) return is_any_of(last, {"_M_mutate", "__grow_by", "__grow_by_and_replace", "__grow_by_without_replace"});
  if (bare.starts_with("std::_Hashtable::")) return last.starts_with("_M_rehash");
  return has_any_of(full, {"raw_vec"}) && has_any_of(bare, {"grow", "do_reserve", "reserve_for_push"});
}

bool is_reallocation(std::string_view bare) {
  return is_any_of(bare, {"realloc", "reallocarray", "__libc_realloc", "__libc_reallocarray", "_int_realloc", "xrealloc", "je_realloc", "g_realloc", "__rust_realloc", "mi_realloc", "tc_realloc"});
}

// What allocators call when another thread is inside: glibc, jemalloc, tcmalloc.
bool is_lock(std::string_view bare) { return has_any_of(bare, {"__lll_lock_", "mutex_lock_slow", "SpinLock::Slow", "pthread_mutex_lock", "futex_wait", "futex_wake"}); }

CpuPart part_of(const AllocationWork& work, PatternId pattern) {
  if (work.grows) return CpuPart::grow;
  if (work.allocator) return work.frees ? CpuPart::free : CpuPart::allocate;
  if (pattern == PatternId::string_copy || pattern == PatternId::memory_copy || pattern == PatternId::vector_growth) return CpuPart::copy;
  return pattern == PatternId::text_scan ? CpuPart::scan : CpuPart::other;
}

}  // namespace

AllocationWork allocation_work(std::string_view bare, std::string_view full, std::string_view module) {
  AllocationWork work;
  const PatternId matched = match_pattern(bare, module);
  work.library = is_runtime_code(bare, module) || (matched != PatternId::none && pattern(matched).blame == Blame::caller);
  work.wrapper = !work.library && (is_allocation_wrapper(bare) || copies_an_object(full));
  work.allocator = matched == PatternId::allocation;
  work.frees = work.allocator && has_any_of(bare, {"free", "delete", "dalloc", "dealloc"});
  work.grows = is_growth(bare, full) || is_reallocation(bare);
  work.locks = is_lock(bare);
  return work;
}

const AllocationWork& AllocationFrames::of_function(FunctionId function) {
  if (function >= functions_.size()) functions_.resize(function + 1), known_.resize(function + 1);
  if (!known_[function]) {
    known_[function] = true;
    if (function && symbols_.resolved(function)) functions_[function] = allocation_work(bare_name(symbols_.full_name(function)), symbols_.full_name(function), symbols_.module_name(function));
    else if (function) functions_[function].allocator = match_pattern({}, symbols_.module_name(function)) == PatternId::allocation;
  }
  return functions_[function];
}

// Outward past the program's own names for malloc, and past what copies an object for whoever wants the copy.
Responsible AllocationFrames::asking(const Responsible& who) {
  if (!who.owner || !of_function(who.owner).wrapper) return who;
  bool inside = true;  // still inward of the wrapper, within the node it was inlined into
  for (StackId node = who.node; node != 0 && node < recording_.nodes.size(); node = recording_.nodes[node].parent) {
    if (recording_.nodes[node].kind != 0) continue;
    const auto frames = symbols_.frames(node);
    for (const SymbolFrame& frame : frames) {
      if (inside) {
        inside = frame.function != who.owner;
        continue;
      }
      const AllocationWork& work = of_function(frame.function);
      if (!work.wrapper && !work.library) return {frame.function, frames.back().function, who.owner, node, frame.file, frame.line, who.pattern};
    }
    inside = false;
  }
  return who;
}

// From the innermost frame outward up to the own function: the outermost call of the allocator says which it is.
AllocationWork AllocationFrames::below(const Responsible& who, StackId stack) {
  AllocationWork work;
  for (StackId node = stack; node != 0 && node < recording_.nodes.size(); node = recording_.nodes[node].parent) {
    if (recording_.nodes[node].kind != 0) continue;
    for (const SymbolFrame& frame : symbols_.frames(node)) {
      if (who.owner && node == who.node && frame.function == who.owner) return work;
      const AllocationWork& one = of_function(frame.function);
      if (one.allocator) work.allocator = true, work.frees = one.frees;
      work.grows |= one.grows;
      work.locks |= one.locks;
    }
    if (node == who.node) break;
  }
  return work;
}

void FunctionCost::Part::add(const StackWeight& weight) {
  stacks.push_back(weight);
  seconds += static_cast<double>(weight.ns) * 1e-9;
  samples += weight.samples;
}

AllocatorTime AllocatorTime::build(const Recording& recording, const Symbols& symbols, const CpuProfile& cpu, const Attribution& attribution) {
  AllocatorTime time;
  AllocationFrames frames(recording, symbols);
  for (const StackWeight& weight : cpu.stacks) {
    const Responsible who = frames.asking(attribution.of(weight.stack));
    const AllocationWork work = frames.below(who, weight.stack);
    FunctionCost& cost = time.functions[who.owner];
    cost.parts[static_cast<std::size_t>(part_of(work, who.pattern))].add(weight);
    if (!work.allocator) continue;
    cost.allocator.add(weight);
    time.allocator.add(weight);
    if (work.frees && !work.grows) time.freeing.add(weight);
    if (work.locks) time.locking.add(weight);
  }
  return time;
}

const FunctionCost& AllocatorTime::of(FunctionId function) const {
  static const FunctionCost none;
  const auto known = functions.find(function);
  return known == functions.end() ? none : known->second;
}

std::vector<bool> stack_set(const Recording& recording, std::initializer_list<const FunctionCost::Part*> parts) {
  std::vector<bool> set(recording.nodes.size());
  for (const FunctionCost::Part* part : parts)
    for (const StackWeight& weight : part->stacks)
      if (weight.stack < set.size()) set[weight.stack] = true;
  return set;
}

}  // namespace tailback::analyzers
