// SPDX-License-Identifier: Apache-2.0
// Walks the calling thread's own stack and interns it. Signal-safe: no allocation, no lock, no library call, no fault by
// construction (reads stay inside the stack's bounds; an unknown stack is copied by process_vm_readv and the copy walked).
// It never writes to the program's memory.
//
// Method: a rule for each instruction address (how to find the caller's pc, sp and bp), looked up lazily from .eh_frame_hdr
// and kept in a global cache; and verified replay: a walk that reaches a state (pc, sp, bp) of the previous walk compares
// the stack words that determined the rest and, when all are equal, takes the rest, down to the interned node, from there.
// Cost: see docs/performance.md. Stack use of walk(): under 512 bytes, under 768 where an address is met for the first time.
#pragma once
#include <cstdint>

#include "agent/capture/code_map.h"
#include "agent/capture/stacks.h"

namespace tailback::capture {

inline constexpr std::uint32_t kMaxFrames = 2048;  // deeper stacks keep at least the innermost, beyond that they are "unknown"

struct Registers {
  std::uint64_t pc, sp, bp;
  // All registers of an interrupted frame (ucontext_t.uc_mcontext.gregs); null: not known, and the walk ends early in the few
  // instructions whose rule needs one, such as prologues that realign the stack and the lazy binder.
  const std::uint64_t* general = nullptr;
};

// Readable addresses of the running thread's stack: all of [sp, high) may be read when low <= sp < high.
struct StackBounds {
  std::uint64_t low, high;
};

struct Walk {
  StackId stack = 0;        // innermost node; 0: nothing could be interned
  std::uint32_t depth = 0;  // frames
  bool complete = false;    // reached the thread's root (a frame whose caller is undefined by its CFI)
  bool partial = false;     // the stack was not the registered one (coroutine, alternate stack without known bounds)
  bool truncated = false;   // deeper than kMaxFrames
  bool guessed = false;     // some frames were found by frame pointer only: code that belongs to no module
  bool interrupted = false;  // a handler's frame was among those that were walked anew
};

// Memory of one thread for one context (hooks and signal handlers each have their own, so that they never tear each other).
// Zero pages are a valid empty cache; touched only as deep as the stacks go. Place it in map_pages() memory.
struct WalkCache;
extern const std::uint64_t kWalkCacheBytes;

// Addresses of code.
struct CodeSpan {
  std::uint64_t start, end;
  bool holds(std::uint64_t address) const { return address - start < end - start; }
};

class Unwinder {
 public:
  // Reserves the rule cache. Call once, before any thread walks.
  bool init(CodeMap& code, StackTable& stacks);
  StackTable& stacks() { return *stacks_; }

  // Walks from `from`. `interrupted`: pc is the instruction about to run (a signal's context), not a return address.
  // `alternate`: bounds of the signal stack in use according to ucontext.uc_stack, or {0, 0}.
  // The stack of an incomplete walk starts at a node of kind unknown_beyond.
  Walk walk(const Registers& from, bool interrupted, StackBounds thread_stack, StackBounds alternate, WalkCache& cache);

  // Frames in this code, the agent's own, are walked through but not part of any stack. Call before any thread walks.
  void hide(CodeSpan code) { hidden_ = code; }
  const CodeSpan& hidden() const { return hidden_; }

  // As walk(), from the caller's own frame, leaving out `skip` innermost frames (0: the function that calls walk_here).
  Walk walk_here(std::uint32_t skip, StackBounds thread_stack, WalkCache& cache);

  // Whether the caller may run in a signal handler: true as well when its stack could not be walked to the end.
  bool in_handler(StackBounds thread_stack, WalkCache& cache);

  // The rule for an address, looked up without any cache: for tests and checks. Kind none where there is no unwind information.
  struct Rule rule_at(std::uint64_t address, WalkCache& cache);

  // The unwind range (FDE) around an address: start and size, false when there is none. For the engine's drain.
  bool code_range(std::uint64_t address, std::uint64_t& start, std::uint64_t& size);

  std::uint64_t resident_bytes() const;

 private:
  CodeMap* code_ = nullptr;
  StackTable* stacks_ = nullptr;
  struct RuleCache* rules_ = nullptr;
  CodeSpan hidden_{0, 0};
};

}  // namespace tailback::capture
