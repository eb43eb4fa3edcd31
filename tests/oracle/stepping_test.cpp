// SPDX-License-Identifier: Apache-2.0
// Single-steps code in this process (the trap flag; the SIGTRAP handler walks) and asks at EVERY instruction: prologues,
// epilogues, PLT stubs of several kinds, the lazy binder, the vDSO, hand-written assembly, exceptions in flight.
#include <dlfcn.h>
#include <sys/utsname.h>

#include <array>
#include <string>

#include "tests/oracle/libgcc_backtrace.h"
#include "tests/oracle/oracle.h"
#include "tests/oracle/ticker.h"
#include "tests/oracle/workload.h"

namespace tailback::oracle {
namespace {

Comparison* comparison;
const capture::StackBounds libgcc_range = libgcc_code();
Frames outside;  // frames around the stepped call, found before it, outermost last
std::uint64_t steps, root_missed;

// The walk must end with the frames that were there before stepping began, whatever the oracle says.
bool ends_with_outside() {
  const auto& ours = comparison->ours;
  if (ours.count <= outside.count) return false;
  return std::memcmp(ours.look + ours.count - outside.count, outside.look, outside.count * sizeof outside.look[0]) == 0;
}

void on_step(int, siginfo_t*, void* context) {
  ++steps;
  compare_interrupted(*comparison, *static_cast<ucontext_t*>(context), libgcc_backtrace, libgcc_range);
  if (!on_stack(comparison->ours, libgcc_range) && !ends_with_outside()) ++root_missed;
}

// With unwind information of their own: their instructions are stepped through, too.
extern "C" void oracle_set_trap_flag();
extern "C" void oracle_clear_trap_flag();
asm(R"(
  .text
  .type oracle_set_trap_flag, @function
oracle_set_trap_flag:
  .cfi_startproc
  pushfq
  .cfi_adjust_cfa_offset 8
  orq $0x100, (%rsp)
  popfq
  .cfi_adjust_cfa_offset -8
  ret
  .cfi_endproc
  .size oracle_set_trap_flag, .-oracle_set_trap_flag
  .type oracle_clear_trap_flag, @function
oracle_clear_trap_flag:
  .cfi_startproc
  pushfq
  .cfi_adjust_cfa_offset 8
  andq $-0x101, (%rsp)
  popfq
  .cfi_adjust_cfa_offset -8
  ret
  .cfi_endproc
  .size oracle_clear_trap_flag, .-oracle_clear_trap_flag
)");

using Stepped = void (*)(void*);

// Not inlined: what runs between the flags has this frame and its callers outside.
__attribute__((noinline)) void step_through(Stepped code, void* argument) {
  auto& subject = Subject::get();
  const auto around = subject.unwinder.walk_here(1, comparison->stack, comparison->fresh);  // from our caller on
  subject.frames(around.stack, outside);
  oracle_set_trap_flag();
  code(argument);
  oracle_clear_trap_flag();
}

struct Stepping {
  Comparison mine;
  struct sigaction old;

  Stepping() {
    comparison = &mine;
    steps = root_missed = 0;
    Survival::install();
    struct sigaction action;
    std::memset(&action, 0, sizeof action);
    action.sa_sigaction = on_step;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGTRAP, &action, &old);
  }
  ~Stepping() { sigaction(SIGTRAP, &old, nullptr); }

  __attribute__((noinline)) void through(Stepped code, void* argument = nullptr) {
    step_through(code, argument);
    asm volatile("");  // no tail call: the frame has to be there
  }

  void expect(std::uint64_t at_least) const {
    std::printf("steps %lu root missed %lu\n", steps, root_missed);
    EXPECT_GE(steps, at_least);
    EXPECT_ORACLE_AGREES(mine, at_least / 8);  // sanitizers have libgcc on the stack much of the time
    EXPECT_LE(root_missed, mine.shorter + mine.oracle_crashed);
  }
};

TEST(Stepping, CallsOfAllShapes) {
  Stepping stepping;
  RandomCalls::jumps = false;
  stepping.through([](void*) {
    RandomCalls calls([] { sink = 1; });
    const int rounds = long_form() ? 400 : 20;
    for (int i = 0; i < rounds; ++i) calls.run(3);
  });
  stepping.expect(2000);
}

TEST(Stepping, LibraryCode) {
  Stepping stepping;
  RandomCalls calls(work);  // seeds
  most_bytes = 2000;        // string instructions trap once for each round
  const std::array<void (*)(), 5> works{sort_some, format_some, allocate_some, ask_clocks, compute_some};
  for (auto one : works) stepping.through([](void* what) { reinterpret_cast<void (*)()>(what)(); }, reinterpret_cast<void*>(one));
  stepping.expect(10'000);
}

TEST(Stepping, ExceptionsInFlight) {
  Stepping stepping;
  stepping.through([](void*) { throw_some(); });
  stepping.expect(500);
}

TEST(Stepping, Vdso) {
  Stepping stepping;
  const auto vdso = dlopen("linux-vdso.so.1", RTLD_NOW | RTLD_NOLOAD);
  ASSERT_NE(vdso, nullptr);
  dl_find_object found;
  ASSERT_EQ(_dl_find_object(dlsym(vdso, "__vdso_clock_gettime"), &found), 0);
  static capture::StackBounds range;
  range = {reinterpret_cast<std::uint64_t>(found.dlfo_map_start), reinterpret_cast<std::uint64_t>(found.dlfo_map_end)};
  static std::uint64_t inside;
  inside = 0;
  struct sigaction action;
  std::memset(&action, 0, sizeof action);
  action.sa_flags = SA_SIGINFO;
  action.sa_sigaction = [](int signal, siginfo_t* info, void* context) {
    const auto pc = registers_of(*static_cast<ucontext_t*>(context)).pc;
    if (pc >= range.low && pc < range.high) ++inside;
    on_step(signal, info, context);
  };
  sigaction(SIGTRAP, &action, nullptr);
  stepping.through([](void*) {
    timespec time;
    timeval day;
    for (int i = 0; i < 5; ++i) {
      clock_gettime(CLOCK_MONOTONIC, &time);
      clock_gettime(CLOCK_REALTIME_COARSE, &time);
      gettimeofday(&day, nullptr);
    }
  });
  EXPECT_GT(inside, 100u);
  stepping.expect(200);
}

// Libraries whose calls go through PLTs of several kinds, bound while we look on.
void step_through_library(const std::string& name) {
  Stepping stepping;
  const auto library = dlopen((std::string(TAILBACK_ORACLE_DIR) + "/" + name).c_str(), RTLD_LAZY | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << dlerror();
  const auto entry = dlsym(library, "call_others");
  ASSERT_NE(entry, nullptr);
  for (int i = 0; i < 2; ++i)  // the first binds
    stepping.through([](void* function) { reinterpret_cast<void (*)()>(function)(); }, entry);
  stepping.expect(1000);
  auto& code = Subject::get().code;
  code.begin_unload();  // the next library comes to the same place
  dlclose(library);
  code.end_unload();
}

TEST(Stepping, LazyPlt) { step_through_library("liboracle_plt_lazy.so"); }
TEST(Stepping, LazyPltForBranchTracking) { step_through_library("liboracle_plt_ibt.so"); }
TEST(Stepping, EagerPlt) { step_through_library("liboracle_plt_now.so"); }

// Assembly by hand: libcrypto keeps its entry sp in other registers and in memory.
TEST(Stepping, LibcryptoAssembly) {
  const auto library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
  if (!library) GTEST_SKIP() << "no libcrypto.so.3 here";
  using Hash = unsigned char* (*)(const unsigned char*, std::size_t, unsigned char*);
  static Hash hash;
  for (const char* name : {"SHA1", "SHA256", "SHA512"}) {
    Stepping stepping;
    hash = reinterpret_cast<Hash>(dlsym(library, name));
    ASSERT_NE(hash, nullptr);
    static unsigned char data[300], digest[64];
    hash(data, sizeof data, digest);  // libcrypto's own start-up is not what we want to see
    stepping.through([](void*) { hash(data, sizeof data, digest); });
    stepping.expect(1000);
  }
}

}  // namespace
}  // namespace tailback::oracle
