// SPDX-License-Identifier: Apache-2.0
// Sorts the threads of a recording into kinds: threads that do the same sort of work. Evidence, in this order: the start
// routine, for std::thread the callable behind it (told by the vtable of its state), where the thread was created, the
// name it was given, and the first function of the program that its samples show. No times are computed here.
#pragma once
#include <string>
#include <unordered_map>
#include <vector>

#include "analyzers/model/recording.h"
#include "analyzers/model/symbols.h"

namespace tailback::analyzers {

struct ThreadKind {
  std::string label;
  std::vector<const ThreadTable::Row*> threads;
  std::vector<const ThreadGroupRow*> short_lived;
  StackId creation_stack = 0;
  std::uint64_t start_routine = 0;
  FunctionId entry = 0;  // first function of the program on its stacks, 0 unknown
  bool is_main = false;
};

class ThreadKinds {
 public:
  ThreadKinds(const Recording& recording, const Symbols& symbols);
  std::vector<ThreadKind> take() { return std::move(kinds_); }

  // The first function of the program on a stack, seen from its root: what lies between is the threads library.
  FunctionId entry_of(StackId stack) const;

 private:
  struct Origin {  // what is known of a thread without its samples
    std::uint64_t routine = 0, argument = 0, site = 0;
    FunctionId creator = 0;  // function that created it
    auto operator<=>(const Origin&) const = default;
  };
  Origin origin_of(std::uint64_t routine, std::uint64_t argument, StackId creation) const;
  FunctionId program_function(StackId node) const;
  bool plumbing(FunctionId function) const;
  std::string name_pattern(const ThreadTable::Row& thread) const;
  void find_entries();
  void find_entries_of_threads();
  void gather_threads();
  void gather_short_lived();
  void join_same_work();
  FunctionId entry_of_kind(const ThreadKind& kind) const;
  std::string label_of(const ThreadKind& kind) const;

  struct Gathered {
    ThreadKind kind;
    Origin origin;
    std::string pattern;
  };
  const Recording& recording_;
  const Symbols& symbols_;
  std::string main_name_;
  mutable std::unordered_map<FunctionId, bool> plumbing_;
  std::vector<FunctionId> entries_;  // by node
  std::unordered_map<ThreadId, FunctionId> thread_entries_;
  std::vector<Gathered> gathered_;
  std::vector<ThreadKind> kinds_;
};

// Whether a function only starts threads or forwards calls (the C and C++ libraries' plumbing between a thread's root and
// the program's own code).
bool is_thread_plumbing(const std::string& function, const std::string& module);
// "worker-12" -> "worker-#".
std::string without_digits(const std::string& name);
// The callable named by the vtable of a std::thread's state; empty when it is a mere function pointer or none.
std::string callable_of_vtable(const std::string& symbol);

}  // namespace tailback::analyzers
