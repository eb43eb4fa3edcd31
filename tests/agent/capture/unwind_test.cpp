// SPDX-License-Identifier: Apache-2.0
// What the walker promises beyond right frames (tests/oracle): limits, folding, generations, bounds, memory and stack use.
#include "agent/capture/unwind.h"

#include <alloca.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/mman.h>

#include <cstring>
#include <latch>
#include <thread>
#include <vector>

#include "agent/capture/pages.h"

namespace tailback::capture {
namespace {

StackBounds own_stack() {
  pthread_attr_t attributes;
  void* low;
  std::size_t size;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &low, &size);
  pthread_attr_destroy(&attributes);
  return {reinterpret_cast<std::uint64_t>(low), reinterpret_cast<std::uint64_t>(low) + size};
}

struct Agent {
  CodeMap code;
  StackTable stacks;
  Unwinder unwinder;
  WalkCache& cache = *static_cast<WalkCache*>(map_pages(kWalkCacheBytes));
  StackBounds stack = own_stack();

  explicit Agent(std::uint32_t nodes = 100'000) {
    EXPECT_TRUE(code.init("program"));
    EXPECT_TRUE(stacks.init(nodes));
    EXPECT_TRUE(unwinder.init(code, stacks));
  }
  ~Agent() { unmap_pages(&cache, kWalkCacheBytes); }

  void forget() { std::memset(static_cast<void*>(&cache), 0, 64); }
  Walk here() { return unwinder.walk_here(0, stack, cache); }

  std::vector<StackNode> path(StackId stack_id) const {
    std::vector<StackNode> nodes;
    for (; stack_id; stack_id = stacks.node(stack_id)->parent) nodes.push_back(*stacks.node(stack_id));
    return nodes;
  }
  NodeKind root_kind(StackId stack_id) const { return static_cast<NodeKind>(path(stack_id).back().kind); }
};

Agent* agent;
Walk deep_walk;

__attribute__((noinline)) int recurse(int depth) {
  if (depth == 0) deep_walk = agent->here();
  else recurse(depth - 1);
  asm volatile("" : : : "memory");
  return depth;
}

TEST(Unwinder, SkipsFramesFromTheInside) {
  Agent mine;
  const auto all = mine.unwinder.walk_here(0, mine.stack, mine.cache);
  const auto callers = mine.unwinder.walk_here(1, mine.stack, mine.cache);
  EXPECT_TRUE(all.complete);
  EXPECT_EQ(callers.depth + 1, all.depth);
  EXPECT_EQ(mine.stacks.node(all.stack)->parent, callers.stack);
  EXPECT_EQ(mine.unwinder.walk_here(100'000, mine.stack, mine.cache).stack, 0u);
}

TEST(Unwinder, SaysWhenAStackIsDeeperThanItFollows) {
  Agent mine;
  agent = &mine;
  recurse(3 * static_cast<int>(kMaxFrames));
  EXPECT_TRUE(deep_walk.truncated);
  EXPECT_FALSE(deep_walk.complete);
  EXPECT_EQ(deep_walk.depth, kMaxFrames);
  EXPECT_EQ(mine.root_kind(deep_walk.stack), NodeKind::unknown_beyond);
  EXPECT_EQ(mine.path(deep_walk.stack).size(), kMaxFrames + 1);
  recurse(static_cast<int>(kMaxFrames) / 2);
  EXPECT_FALSE(deep_walk.truncated);
  EXPECT_TRUE(deep_walk.complete);
}

TEST(Unwinder, FoldsWhenTheTreeIsNearlyFull) {
  Agent mine(400);
  agent = &mine;
  constexpr int kDepths[] = {100, 100, 101, 101, 100, 101, 101};  // from one place: the same stacks again
  StackId known = 0, folded = 0;
  for (int step = 0; step < 7; ++step) {
    if (step == 4) mine.forget();
    recurse(kDepths[step]);
    EXPECT_TRUE(deep_walk.complete);
    if (step == 0) {
      known = deep_walk.stack;
      while (!mine.stacks.nearly_full()) mine.stacks.intern(0, 0x10000 + mine.stacks.count());
    } else if (kDepths[step] == 100) {
      EXPECT_EQ(deep_walk.stack, known);  // what the tree has is used
    } else {
      if (!folded) folded = deep_walk.stack;
      EXPECT_EQ(deep_walk.stack, folded);
      EXPECT_EQ(mine.path(folded).size(), 17u);
      EXPECT_EQ(mine.root_kind(folded), NodeKind::folded);
    }
  }
  while (mine.stacks.intern(0, 0x90000 + mine.stacks.count())) {
  }
  std::thread([&] {  // never seen: nothing of it can be put down
    mine.stack = own_stack();
    mine.forget();
    EXPECT_EQ(mine.here().stack, 0u);
  }).join();
}

TEST(Unwinder, NewGenerationsHaveTheirOwnRoot) {
  Agent mine;
  const auto first = mine.here();
  EXPECT_EQ(mine.root_kind(first.stack), NodeKind::code);
  // A module that goes away: the map is told of one that the loader never knew.
  auto& entry = const_cast<ModuleEntry&>(mine.code.entry(0));
  entry.bias += 4096;
  mine.code.begin_unload();
  mine.code.end_unload();
  EXPECT_EQ(mine.code.generation(), 2u);
  EXPECT_EQ(entry.unloaded, 1u);
  const auto second = mine.here();
  EXPECT_TRUE(second.complete);
  EXPECT_EQ(second.depth, first.depth);
  ASSERT_EQ(mine.root_kind(second.stack), NodeKind::generation);
  EXPECT_EQ(mine.path(second.stack).back().address, 2u);
}

TEST(Unwinder, StaysInsideTheBoundsItIsGiven) {
  Agent mine;
  // A page of stack with nothing around it: the frame claims to reach beyond.
  auto* memory = static_cast<char*>(mmap(nullptr, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_EQ(mprotect(memory + 4096, 4096, PROT_READ | PROT_WRITE), 0);
  const auto low = reinterpret_cast<std::uint64_t>(memory) + 4096, high = low + 4096;
  const auto pc = reinterpret_cast<std::uint64_t>(&recurse);
  for (std::uint64_t sp = low; sp < high; sp += 8)
    for (std::uint64_t offset = 0; offset < 40; ++offset) {
      const auto walk = mine.unwinder.walk({pc + offset, sp, high - 8}, true, {low, high}, {0, 0}, mine.cache);
      EXPECT_GE(walk.depth, 1u);
    }
  // The same, as an unknown stack: copied, and the copy ends at the same place.
  for (std::uint64_t sp = low; sp < high; sp += 200) {
    const auto walk = mine.unwinder.walk({pc, sp, high - 8}, true, {0, 0}, {0, 0}, mine.cache);
    EXPECT_TRUE(walk.partial);
    EXPECT_GE(walk.depth, 1u);
  }
  // No stack at all.
  const auto walk = mine.unwinder.walk({pc, reinterpret_cast<std::uint64_t>(memory) + 64, 0}, true, {0, 0}, {0, 0}, mine.cache);
  EXPECT_EQ(walk.depth, 1u);
  EXPECT_FALSE(walk.complete);
  munmap(memory, 3 * 4096);
}

// Whatever lies in the registers and on the stack, a walk ends and does not fault.
TEST(Unwinder, SurvivesAnyRegistersAndStack) {
  Agent mine(1 << 20);
  std::uint64_t words[512];
  const auto low = reinterpret_cast<std::uint64_t>(words), high = low + sizeof words;
  std::uint64_t state = 88172645463325252ull;
  const auto random = [&] { return state ^= state << 13, state ^= state >> 7, state ^= state << 17; };
  const auto code = reinterpret_cast<std::uint64_t>(&recurse);
  const auto libc = reinterpret_cast<std::uint64_t>(&std::qsort);
  const auto pick = [&] {
    switch (random() % 5) {
      case 0: return low + random() % sizeof words;
      case 1: return code - 2000 + random() % 4000;
      case 2: return libc - 100'000 + random() % 200'000;
      case 3: return random();
      default: return low + random() % 64 * 64;
    }
  };
  std::uint64_t deeper = 0;
  for (int round = 0; round < 100'000; ++round) {
    for (auto& word : words) word = pick();
    const Registers from{pick(), low + random() % 64 * 8, pick(), words};
    const auto walk = mine.unwinder.walk(from, random() & 1, {low, high}, {0, 0}, mine.cache);
    deeper += walk.depth > 2;
    if (mine.stacks.nearly_full()) {
      mine.stacks.reset();
      mine.forget();
    }
  }
  EXPECT_GT(deeper, 1000u);
}

TEST(Unwinder, KeepsOnlyFramesForTheSameBounds) {
  Agent mine;
  const auto whole = mine.here();
  const StackBounds cut{mine.stack.low, reinterpret_cast<std::uint64_t>(__builtin_frame_address(0)) + 16};
  const auto less = mine.unwinder.walk_here(0, cut, mine.cache);
  EXPECT_FALSE(less.complete);
  EXPECT_LT(less.depth, whole.depth);
  EXPECT_EQ(mine.root_kind(less.stack), NodeKind::unknown_beyond);
  EXPECT_TRUE(mine.here().complete);
}

TEST(Unwinder, TouchesLittleMemoryOfItsCache) {
  Agent mine;
  mine.here();
  std::vector<unsigned char> pages(kWalkCacheBytes / kPageBytes + 1);
  ASSERT_EQ(mincore(&mine.cache, kWalkCacheBytes, pages.data()), 0);
  std::size_t touched = 0;
  for (const auto page : pages) touched += page & 1;
  EXPECT_LE(touched, 4u);
}

constexpr std::size_t kPainted = 8192;

__attribute__((noinline)) void paint() {
  auto* room = static_cast<volatile unsigned char*>(alloca(kPainted));
  for (std::size_t i = 0; i < kPainted; ++i) room[i] = 0xa5;
}

// The same place on the stack as paint(), afterwards.
__attribute__((noinline)) std::size_t unpainted() {
  auto* room = static_cast<volatile unsigned char*>(alloca(kPainted));
  std::size_t clean = 512;  // the two frames need not be equal to the byte
  while (clean < kPainted && room[clean] == 0xa5) ++clean;
  return kPainted - clean;
}

__attribute__((noinline)) std::size_t stack_used_by_walk() {
  const Registers from{reinterpret_cast<std::uint64_t>(__builtin_return_address(0)) - 1,
                       reinterpret_cast<std::uint64_t>(__builtin_frame_address(0)) + 16,
                       *static_cast<std::uint64_t*>(__builtin_frame_address(0))};
  paint();
  const auto idle = unpainted();
  paint();
  agent->unwinder.walk(from, true, agent->stack, {0, 0}, agent->cache);
  const auto used = unpainted();
  return used > idle ? used : idle;
}

#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
constexpr bool kBuiltAsShipped = true;
#else
constexpr bool kBuiltAsShipped = false;
#endif

TEST(Unwinder, UsesLittleOfTheInterruptedStack) {
  if (!kBuiltAsShipped) GTEST_SKIP() << "frames of unoptimised or instrumented code say nothing";
  Agent mine;
  agent = &mine;
  CodeMap::in_module(0);                    // lets the lazy binder, which the agent is linked without, do its work before
  const auto first = stack_used_by_walk();  // every address and module is new
  const auto later = stack_used_by_walk();
  mine.forget();
  const auto full = stack_used_by_walk();
  std::printf("stack used: first walk %zu, replayed %zu, full %zu\n", first, later, full);
  EXPECT_LE(full, 512u);
  EXPECT_LE(later, 512u);
  EXPECT_LE(first, 768u);
}

TEST(Unwinder, ThreadsShareRulesAndStacks) {
  Agent mine(1 << 18);
  std::vector<std::thread> threads;
  std::atomic<std::uint64_t> incomplete{0}, walks{0};
  constexpr int kThreads = 4;
  std::latch rules_known{kThreads};  // before the first unload, which may last as long as a thread's whole run
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back([&] {
      auto& cache = *static_cast<WalkCache*>(map_pages(kWalkCacheBytes));
      const auto stack = own_stack();
      for (int round = 0; round < 20'000; ++round) {
        std::memset(static_cast<void*>(&cache), 0, 8);
        incomplete += !mine.unwinder.walk_here(0, stack, cache).complete;
        ++walks;
        if (round == 0) rules_known.arrive_and_wait();
      }
      unmap_pages(&cache, kWalkCacheBytes);
    });
  rules_known.wait();
  for (int i = 0; i < 200; ++i) {  // unloads in between: only cached rules count then
    mine.code.begin_unload();
    mine.code.end_unload();
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(walks, 80'000u);
  EXPECT_LT(incomplete, walks / 10);
}

TEST(Unwinder, KnowsTheFunctionAroundAnAddress) {
  Agent mine;
  std::uint64_t start = 0, size = 0;
  const auto function = reinterpret_cast<std::uint64_t>(&recurse);
  ASSERT_TRUE(mine.unwinder.code_range(function + 3, start, size));
  EXPECT_EQ(start, function);
  EXPECT_GT(size, 3u);
  EXPECT_FALSE(mine.unwinder.code_range(16, start, size));
}

}  // namespace
}  // namespace tailback::capture
