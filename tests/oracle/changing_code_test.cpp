// SPDX-License-Identifier: Apache-2.0
// Code that comes and goes: two libraries that take turns at one address, and code made at run time.
#include <dlfcn.h>
#include <sys/mman.h>

#include <string>

#include "tests/oracle/libgcc_backtrace.h"
#include "tests/oracle/oracle.h"
#include "tests/oracle/survive.h"

namespace tailback::oracle {
namespace {

Comparison* comparison;
std::uint64_t visits;

int visit(int) {
  ++visits;
  compare_here(*comparison, libgcc_backtrace);
  return 0;
}

using Through = int (*)(int (*)(int), int);

// Opens the library, walks through it, closes it; where it was.
std::uint64_t take_turn(const std::string& name, bool bracketed) {
  auto& code = Subject::get().code;
  void* library = dlopen((std::string(TAILBACK_ORACLE_DIR) + "/" + name).c_str(), RTLD_NOW | RTLD_LOCAL);
  EXPECT_NE(library, nullptr) << dlerror();
  const auto through = reinterpret_cast<Through>(dlsym(library, "through_twin"));
  through(visit, 5);
  through(visit, 9);
  if (bracketed) code.begin_unload();
  dlclose(library);
  if (bracketed) code.end_unload();
  return reinterpret_cast<std::uint64_t>(through);
}

TEST(ChangingCode, LibrariesTakeTurnsAtOneAddress) {
  Comparison mine;
  comparison = &mine;
  visits = 0;
  auto& code = Subject::get().code;
  const auto generation = code.generation();
  const int rounds = long_form() ? 2'000 : 100;
  int same = 0;
  std::uint64_t last = 0;
  for (int i = 0; i < rounds; ++i) {
    const auto place = take_turn(i % 2 ? "liboracle_twin_small.so" : "liboracle_twin_big.so", true);
    same += place == last;
    last = place;
  }
  EXPECT_GT(same, rounds / 2);  // otherwise nothing was tried
  EXPECT_EQ(code.generation(), generation + static_cast<unsigned>(rounds));
  EXPECT_ORACLE_AGREES(mine, static_cast<unsigned>(rounds) * 2u);
  EXPECT_EQ(mine.incomplete, 0u);
}

TEST(ChangingCode, ClosingOtherLibrariesVoidsNothing) {
  Comparison mine;
  comparison = &mine;
  auto& code = Subject::get().code;
  const auto generation = code.generation();
  void* library = dlopen((std::string(TAILBACK_ORACLE_DIR) + "/liboracle_twin_small.so").c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr);
  code.begin_unload();  // never on any stack
  dlclose(library);
  code.end_unload();
  EXPECT_EQ(code.generation(), generation);
}

// While an unload runs, only what is cached is used: no walk may fail to say that it is incomplete.
TEST(ChangingCode, WalksDuringAnUnload) {
  Comparison mine;
  comparison = &mine;
  auto& subject = Subject::get();
  visit(0);
  const auto generation = subject.code.generation();
  subject.code.begin_unload();
  const auto cached = subject.unwinder.walk_here(0, mine.stack, mine.fresh);
  EXPECT_FALSE(subject.code.enter());
  EXPECT_EQ(subject.code.find(reinterpret_cast<std::uint64_t>(&visit)), nullptr);
  subject.code.end_unload();
  EXPECT_EQ(subject.code.generation(), generation);
  const auto after = subject.unwinder.walk_here(0, mine.stack, mine.fresh);
  EXPECT_TRUE(after.complete);
  EXPECT_GE(after.depth, cached.depth);
}

// push rbp; mov rbp, rsp; sub rsp, 32; mov eax, esi; call rdi; leave; ret
constexpr unsigned char kMadeCode[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x20, 0x89, 0xf0, 0xff, 0xd7, 0xc9, 0xc3};
constexpr std::uint64_t kReturnOffset = 12;

struct MadeCode {
  unsigned char* memory = static_cast<unsigned char*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  MadeCode() { std::memcpy(memory, kMadeCode, sizeof kMadeCode); }
  ~MadeCode() { munmap(memory, 4096); }
};

capture::Walk made_walk, made_replay;

int visit_from_made(int) {
  auto& subject = Subject::get();
  Subject::forget(comparison->fresh);
  for (auto* walk : {&made_walk, &made_replay})
    *walk = subject.unwinder.walk_here(0, comparison->stack, walk == &made_walk ? comparison->fresh : comparison->kept);
  return 0;
}

__attribute__((noinline)) std::uint64_t call_made(const MadeCode& made) {
  reinterpret_cast<int (*)(int (*)(int), int)>(made.memory)(visit_from_made, 0);
  asm volatile("");
  return reinterpret_cast<std::uint64_t>(__builtin_return_address(0));
}

TEST(ChangingCode, MadeAtRunTimeWithFramePointers) {
  Comparison mine;
  comparison = &mine;
  const MadeCode made;
  auto& subject = Subject::get();
  Frames around;
  for (int i = 0; i < 3; ++i) {
    const auto back = call_made(made);
    for (const auto& walk : {made_walk, made_replay}) {
      EXPECT_TRUE(walk.guessed);
      EXPECT_TRUE(walk.complete);
      subject.frames(walk.stack, mine.ours);
      ASSERT_GT(mine.ours.count, 4u);
      EXPECT_EQ(mine.ours.look[1], reinterpret_cast<std::uint64_t>(made.memory) + kReturnOffset - 1);
      EXPECT_EQ(mine.ours.look[3], back - 1);  // [2] is call_made
      subject.frames(subject.unwinder.walk_here(0, mine.stack, mine.fresh).stack, around);
      // From our caller on both are the same.
      ASSERT_EQ(mine.ours.count - 4, around.count - 1);
      EXPECT_EQ(std::memcmp(mine.ours.look + 4, around.look + 1, (around.count - 1) * sizeof around.look[0]), 0);
    }
  }
  EXPECT_FALSE(subject.unwinder.walk_here(0, mine.stack, mine.kept).guessed);  // replayed from outside the made code
}

// Without a frame pointer there is nothing to go by: the walk ends and says so.
TEST(ChangingCode, MadeAtRunTimeWithoutFramePointers) {
  Comparison mine;
  const MadeCode made;
  auto& subject = Subject::get();
  std::uint64_t stack[64] = {};
  const auto low = reinterpret_cast<std::uint64_t>(stack);
  const capture::StackBounds bounds{low, low + sizeof stack};
  for (const std::uint64_t bp : {std::uint64_t{0}, low - 8, low + 3, low + sizeof stack - 8, ~std::uint64_t{7}}) {
    const capture::Registers from{reinterpret_cast<std::uint64_t>(made.memory), low + 64, bp};
    const auto walk = subject.unwinder.walk(from, true, bounds, {0, 0}, mine.kept);
    EXPECT_EQ(walk.depth, 1u);
    EXPECT_FALSE(walk.complete);
    ASSERT_NE(walk.stack, 0u);
    EXPECT_EQ(subject.stacks.node(subject.stacks.node(walk.stack)->parent)->kind, static_cast<std::uint32_t>(capture::NodeKind::unknown_beyond));
  }
}

// A stack made by hand outside of all known bounds, with a null return address at its root: the convention of coroutine
// libraries. The frame on it has unwind information of its own.
extern "C" void oracle_run_on(void* stack_top, int (*function)(int));
asm(R"(
  .text
  .type oracle_run_on, @function
oracle_run_on:
  .cfi_startproc
  pushq %rbx
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset rbx, 0
  movq %rsp, %rbx
  movq %rdi, %rsp
  xorl %edi, %edi
  pushq $0
  leaq oracle_hand_made_root(%rip), %rax
  jmp *%rax
  .cfi_endproc
  .size oracle_run_on, .-oracle_run_on
  .type oracle_hand_made_root, @function
oracle_hand_made_root:
  .cfi_startproc
  subq $24, %rsp
  .cfi_adjust_cfa_offset 24
  callq *%rsi
  movq %rbx, %rsp
  .cfi_def_cfa_offset 16
  popq %rbx
  .cfi_adjust_cfa_offset -8
  ret
  .cfi_endproc
  .size oracle_hand_made_root, .-oracle_hand_made_root
)");

TEST(ChangingCode, HandMadeStackEndsAtItsNullReturnAddress) {
  Comparison mine;
  comparison = &mine;
  constexpr std::size_t kBytes = 64 * 1024;
  auto* memory = static_cast<char*>(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  oracle_run_on(memory + kBytes, visit_from_made);
  for (const auto& walk : {made_walk, made_replay}) {
    EXPECT_TRUE(walk.partial);
    EXPECT_TRUE(walk.complete);
    EXPECT_EQ(walk.depth, 2u);  // the visitor and the root
  }
  munmap(memory, kBytes);
}

}  // namespace
}  // namespace tailback::oracle
