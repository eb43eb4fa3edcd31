// SPDX-License-Identifier: Apache-2.0
// CPU time that allocation costs the program's own functions: inside the allocator, in containers that grow, in copies made to be
// looked at. By the names on sampled stacks between the own function and the innermost frame; no judgement.
//
// The time stamps around sampled calls (HeapSite) measure single calls, with their own price and whatever kept the thread off its CPU
// meanwhile. CPU samples have neither fault, but know no sites: they say how much, the heap says by which share.
#pragma once
#include <array>
#include <map>
#include <vector>

#include "analyzers/model/attribution.h"
#include "analyzers/model/cpu_profile.h"

namespace tailback::analyzers {

// What a stack is doing, of its frames inward of the program's own function.
struct AllocationWork {
  bool allocator = false;    // inside malloc, free, operator new, ...
  bool frees = false;        // of these: the freeing ones
  bool grows = false;        // a container makes room for more, or realloc
  bool locks = false;        // the allocator takes or awaits a lock
  bool library = false;      // of one function: a library's
  bool wrapper = false;      // of one function: the program's own name for malloc
};

// Of one function by its names.
AllocationWork allocation_work(std::string_view bare_name, std::string_view full_name, std::string_view module);

class AllocationFrames {
 public:
  AllocationFrames(const Recording& recording, const Symbols& symbols) : recording_(recording), symbols_(symbols) {}
  // Who asks for memory: the caller of a wrapper around malloc, else `who`.
  Responsible asking(const Responsible& who);
  AllocationWork below(const Responsible& who, StackId stack);

 private:
  const AllocationWork& of_function(FunctionId function);
  const Recording& recording_;
  const Symbols& symbols_;
  std::vector<AllocationWork> functions_;
  std::vector<bool> known_;
};

enum class CpuPart : std::uint8_t { allocate, free, grow, copy, scan, other };  // grow: with the allocations and copies of it
inline constexpr std::size_t kCpuParts = 6;

struct FunctionCost {  // one own function, with the libraries below it
  struct Part {
    std::vector<StackWeight> stacks;
    double seconds = 0;
    std::uint64_t samples = 0;
    void add(const StackWeight& weight);
  };
  std::array<Part, kCpuParts> parts;
  Part allocator;  // allocate, free, and of grow what lies inside the allocator
  const Part& part(CpuPart which) const { return parts[static_cast<std::size_t>(which)]; }
};

struct AllocatorTime {
  static AllocatorTime build(const Recording& recording, const Symbols& symbols, const CpuProfile& cpu, const Attribution& attribution);

  std::map<FunctionId, FunctionCost> functions;  // by the own function; 0: none on the stack
  FunctionCost::Part allocator, locking, freeing;  // of all functions, inside the allocator; freeing: other than by growing containers

  const FunctionCost& of(FunctionId function) const;
};

// The stacks of several parts as cpu_seconds_at() wants them.
std::vector<bool> stack_set(const Recording& recording, std::initializer_list<const FunctionCost::Part*> parts);

}  // namespace tailback::analyzers
