// SPDX-License-Identifier: Apache-2.0
// What the oracle tests share: the unwinder under test with its tables, the frames of its results, and comparison with the
// frames that another unwinder found at the same place. Counts comparisons, so that a test can insist that there were some.
// Handlers call compare(): nothing in it allocates or locks.
#pragma once
#include <gtest/gtest.h>
#include <pthread.h>
#include <ucontext.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "agent/capture/code_map.h"
#include "agent/capture/pages.h"
#include "agent/capture/stacks.h"
#include "agent/capture/unwind.h"
#include "tests/oracle/survive.h"

namespace tailback::oracle {

inline constexpr unsigned kMost = 4096;
inline constexpr std::uint32_t kTableNodes = 1u << 20;

// Look-up addresses, innermost first: exact for interrupted frames, return address - 1 for callers.
struct Frames {
  std::uint64_t look[kMost];
  unsigned count = 0;

  void add(std::uint64_t address) {
    if (count < kMost) look[count++] = address;
  }
};

// An unwinder other than ours. From the caller's frame; with the frame of the caller itself in front.
using Backtrace = void (*)(Frames& frames);

inline bool long_form() {
  const char* wish = std::getenv("TAILBACK_LONG");
  return wish && *wish == '1';
}

inline capture::StackBounds own_stack() {
  pthread_attr_t attributes;
  void* low;
  std::size_t size;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &low, &size);
  pthread_attr_destroy(&attributes);
  return {reinterpret_cast<std::uint64_t>(low), reinterpret_cast<std::uint64_t>(low) + size};
}

inline capture::Registers registers_of(const ucontext_t& context) {
  const auto& saved = context.uc_mcontext.gregs;
  return {static_cast<std::uint64_t>(saved[REG_RIP]), static_cast<std::uint64_t>(saved[REG_RSP]),
          static_cast<std::uint64_t>(saved[REG_RBP]), reinterpret_cast<const std::uint64_t*>(saved)};
}

// One for the process: tables as in the agent.
struct Subject {
  capture::CodeMap code;
  capture::StackTable stacks;
  capture::Unwinder unwinder;

  Subject() {
    if (!code.init("/proc/self/exe") || !stacks.init(kTableNodes) || !unwinder.init(code, stacks)) std::abort();
  }

  static Subject& get() {
    static Subject subject;
    return subject;
  }

  static capture::WalkCache& new_cache() { return *static_cast<capture::WalkCache*>(capture::map_pages(capture::kWalkCacheBytes)); }

  // Makes the next walk with it a full one.
  static void forget(capture::WalkCache& cache) { std::memset(static_cast<void*>(&cache), 0, 64); }

  // Nodes of kind code, innermost first.
  void frames(capture::StackId stack, Frames& frames) const {
    frames.count = 0;
    for (; stack; stack = stacks.node(stack)->parent)
      if (stacks.node(stack)->kind == static_cast<std::uint32_t>(capture::NodeKind::code)) frames.add(stacks.node(stack)->address);
  }
};

// The comparisons of one test on one thread.
struct Comparison {
  capture::StackBounds stack = own_stack();
  capture::StackBounds alternate{0, 0};
  capture::WalkCache& kept = Subject::new_cache();   // replays
  capture::WalkCache& fresh = Subject::new_cache();  // never does
  Frames ours, theirs;
  std::uint64_t compared = 0, asked = 0, not_replayed = 0, incomplete = 0, guessed = 0, partial = 0;
  std::uint64_t different = 0;  // other frames than the oracle's
  std::uint64_t shorter = 0;    // ours gave up, and said so, where the oracle went on
  std::uint64_t oracle_crashed = 0;
  bool last_complete = false;
  std::uint64_t first_different = 0;  // pc
  Frames first_ours, first_theirs;

  void note_difference(std::uint64_t pc) {
    if (different++ != 0) return;
    first_different = pc;
    first_ours = ours;
    first_theirs = theirs;
  }

  // Counts how ours, from frame `from_ours` outward, compares with theirs from `from_theirs` outward.
  void compare(unsigned from_ours, unsigned from_theirs, std::uint64_t pc) {
    ++asked;
    if (!last_complete) ++incomplete;
    if (equal(from_ours, from_theirs)) return;
    const auto ours_left = ours.count - from_ours, theirs_left = theirs.count - from_theirs;
    const bool prefix = !last_complete && ours_left < theirs_left &&
                        std::memcmp(ours.look + from_ours, theirs.look + from_theirs, ours_left * sizeof ours.look[0]) == 0;
    if (prefix) ++shorter;
    else note_difference(pc);
  }

  // Whether ours, from frame `from_ours` outward, is theirs from `from_theirs` outward.
  bool equal(unsigned from_ours, unsigned from_theirs) const {
    if (ours.count < from_ours || theirs.count < from_theirs || ours.count - from_ours != theirs.count - from_theirs) return false;
    return std::memcmp(ours.look + from_ours, theirs.look + from_theirs, (ours.count - from_ours) * sizeof ours.look[0]) == 0;
  }

  void count_walks(const capture::Walk& replayed, const capture::Walk& full) {
    ++compared;
    if (replayed.stack != full.stack || replayed.complete != full.complete || replayed.guessed != full.guessed) ++not_replayed;
    last_complete = full.complete;
    if (full.guessed) ++guessed;
    if (full.partial) ++partial;
  }

  void print() const {
    std::printf("walks %lu compared %lu different %lu shorter %lu incomplete %lu replay/full differ %lu guessed %lu partial %lu oracle crashed %lu\n",
                compared, asked, different, shorter, incomplete, not_replayed, guessed, partial, oracle_crashed);
    if (!different) return;
    std::printf("first difference at %#lx\n", first_different);
    for (unsigned i = 0; i < first_ours.count || i < first_theirs.count; ++i)
      std::printf("  %3u ours %#14lx theirs %#14lx\n", i, i < first_ours.count ? first_ours.look[i] : 0,
                  i < first_theirs.count ? first_theirs.look[i] : 0);
  }
};

// The tests see more stacks than any table holds: starts again before new ones are folded.
inline void make_room(Comparison& comparison) {
  auto& stacks = Subject::get().stacks;
  if (stacks.count() < kTableNodes / 2) return;
  stacks.reset();
  Subject::forget(comparison.kept);
}

// Walks from here with and without replay and compares with the other unwinder when `ask`.
__attribute__((noinline)) inline void compare_here(Comparison& comparison, Backtrace backtrace, bool ask = true) {
  auto& subject = Subject::get();
  make_room(comparison);
  Subject::forget(comparison.fresh);
  const auto full = subject.unwinder.walk_here(0, comparison.stack, comparison.fresh);
  const auto replayed = subject.unwinder.walk_here(0, comparison.stack, comparison.kept);
  // Both calls are in this frame, at different places: compare their callers.
  const auto* full_node = subject.stacks.node(full.stack);
  const auto* replayed_node = subject.stacks.node(replayed.stack);
  capture::Walk full_caller = full, replayed_caller = replayed;
  full_caller.stack = full_node ? full_node->parent : 0;
  replayed_caller.stack = replayed_node ? replayed_node->parent : 1;
  comparison.count_walks(replayed_caller, full_caller);
  if (!ask) return;
  subject.frames(full.stack, comparison.ours);
  comparison.theirs.count = 0;
  backtrace(comparison.theirs);
  comparison.compare(1, 1, reinterpret_cast<std::uint64_t>(__builtin_return_address(0)));
}

inline bool on_stack(const Frames& frames, capture::StackBounds code) {
  for (unsigned i = 0; i < frames.count; ++i)
    if (frames.look[i] >= code.low && frames.look[i] < code.high) return true;
  return false;
}

// In a handler: walks from `from` with and without replay. True: the other unwinder may be asked, ours are in comparison.ours;
// not when `not_inside` lies on the stack.
inline bool walk_both(Comparison& comparison, const capture::Registers& from, capture::StackBounds not_inside) {
  auto& subject = Subject::get();
  make_room(comparison);
  Subject::forget(comparison.fresh);
  const auto full = subject.unwinder.walk(from, true, comparison.stack, comparison.alternate, comparison.fresh);
  const auto replayed = subject.unwinder.walk(from, true, comparison.stack, comparison.alternate, comparison.kept);
  comparison.count_walks(replayed, full);
  subject.frames(full.stack, comparison.ours);
  if (on_stack(comparison.ours, not_inside)) return false;
  comparison.theirs.count = 0;
  return true;
}

// In a handler: walks from the interrupted registers and compares with what the other unwinder, started in the handler, finds
// behind the signal frame.
inline void compare_interrupted(Comparison& comparison, const ucontext_t& context, Backtrace backtrace,
                                capture::StackBounds not_inside = {0, 0}) {
  const auto from = registers_of(context);
  if (!walk_both(comparison, from, not_inside)) return;
  if (!Survival::attempt([&] { backtrace(comparison.theirs); })) {
    ++comparison.oracle_crashed;
    return;
  }
  unsigned interrupted = 0;
  while (interrupted < comparison.theirs.count && comparison.theirs.look[interrupted] != from.pc) ++interrupted;
  comparison.compare(0, interrupted, from.pc);
}

#define EXPECT_ORACLE_AGREES(comparison, at_least)        \
  do {                                                    \
    (comparison).print();                                 \
    EXPECT_GE((comparison).asked, (at_least));            \
    EXPECT_EQ((comparison).different, 0u);                \
    EXPECT_LE((comparison).oracle_crashed, 1 + (comparison).asked / 2000); \
    EXPECT_LE((comparison).shorter, (comparison).asked / 2000); \
    EXPECT_EQ((comparison).not_replayed, 0u);             \
  } while (0)

}  // namespace tailback::oracle
