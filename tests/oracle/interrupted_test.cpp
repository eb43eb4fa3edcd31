// SPDX-License-Identifier: Apache-2.0
// Walks from signal handlers: from the interrupted registers at arbitrary instructions, through signal frames from inside the
// handler, with handlers on alternate stacks, nested, and code on stacks of coroutines. libgcc must name the same frames.
#include <sys/mman.h>
#include <ucontext.h>

#include "tests/oracle/libgcc_backtrace.h"
#include "tests/oracle/oracle.h"
#include "tests/oracle/random_calls.h"
#include "tests/oracle/ticker.h"
#include "tests/oracle/workload.h"

namespace tailback::oracle {
namespace {

Comparison* comparison;
Ticker* sampler;
Ticker* nester;
std::uint64_t nested;
const capture::StackBounds libgcc_range = libgcc_code();

double test_seconds() { return long_form() ? 60 : 3; }

void on_sample(int, siginfo_t*, void* context) {
  compare_interrupted(*comparison, *static_cast<ucontext_t*>(context), libgcc_backtrace, libgcc_range);
  sampler->arm();
}

// From the handler's own frame, through the signal frame, to the root.
void on_sample_from_inside(int, siginfo_t*, void*) {
  ucontext_t here;
  getcontext(&here);
  if (walk_both(*comparison, registers_of(here), libgcc_range)) {
    libgcc_walk(comparison->theirs);
    comparison->compare(1, 1, registers_of(here).pc);
  }
  sampler->arm();
}

void on_nesting(int, siginfo_t*, void*) {
  ++nested;
  for (int i = 0; i < 10; ++i) {  // what may be done while malloc or stdio were interrupted
    sort_some();
    ask_clocks();
    compute_some();
  }
  nester->arm();
}

void work_for(double seconds) {
  RandomCalls calls(work);
  for (const auto end = seconds_now() + seconds; seconds_now() < end;) calls.run(6);
}

class AlternateStack {
 public:
  AlternateStack() : memory_(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    const stack_t stack{memory_, 0, kBytes};
    EXPECT_EQ(sigaltstack(&stack, &old_), 0);
  }
  ~AlternateStack() {
    sigaltstack(&old_, nullptr);
    munmap(memory_, kBytes);
  }
  capture::StackBounds bounds() const {
    return {reinterpret_cast<std::uint64_t>(memory_), reinterpret_cast<std::uint64_t>(memory_) + kBytes};
  }

 private:
  static constexpr std::size_t kBytes = 1 << 20;
  void* memory_;
  stack_t old_;
};

struct Setting {
  Comparison mine;
  Setting() {
    comparison = &mine;
    Survival::install();
    RandomCalls::jumps = true;
    nested = 0;
  }
  ~Setting() { sampler = nester = nullptr; }

  void sample(Ticker::Handler handler, int flags = 0) {
    Ticker ticker(SIGUSR1, handler, 30'000, flags);
    sampler = &ticker;
    work_for(test_seconds());
  }
};

TEST(Interrupted, AtArbitraryInstructions) {
  Setting setting;
  setting.sample(on_sample);
  EXPECT_ORACLE_AGREES(setting.mine, 2000u);
  EXPECT_EQ(setting.mine.incomplete, setting.mine.shorter);
}

TEST(Interrupted, ThroughTheSignalFrame) {
  Setting setting;
  setting.sample(on_sample_from_inside);
  EXPECT_ORACLE_AGREES(setting.mine, 2000u);
  EXPECT_EQ(setting.mine.incomplete, setting.mine.shorter);
}

TEST(Interrupted, ThroughTheSignalFrameFromAnAlternateStack) {
  AlternateStack alternate;
  Setting setting;
  setting.mine.alternate = alternate.bounds();
  setting.sample(on_sample_from_inside, SA_ONSTACK);
  EXPECT_ORACLE_AGREES(setting.mine, 2000u);
  EXPECT_EQ(setting.mine.incomplete, setting.mine.shorter);
  EXPECT_EQ(setting.mine.partial, 0u);
}

// The bounds of the alternate stack are not told: it is copied, and left for the thread's own.
TEST(Interrupted, ThroughTheSignalFrameFromAnUnknownStack) {
  AlternateStack alternate;
  Setting setting;
  setting.sample(on_sample_from_inside, SA_ONSTACK);
  EXPECT_ORACLE_AGREES(setting.mine, 2000u);
  EXPECT_EQ(setting.mine.incomplete, setting.mine.shorter);
  EXPECT_EQ(setting.mine.partial, setting.mine.compared);
}

TEST(Interrupted, HandlersInterruptedInTheirTurn) {
  for (const int flags : {0, SA_ONSTACK}) {
    AlternateStack alternate;
    Setting setting;
    setting.mine.alternate = alternate.bounds();
    RandomCalls::jumps = false;  // a longjmp out of the middle would leave the outer handler
    Ticker other(SIGUSR2, on_nesting, 200'000, flags);
    nester = &other;
    setting.sample(on_sample);
    EXPECT_ORACLE_AGREES(setting.mine, 2000u);
    EXPECT_GT(nested, 100u);
    EXPECT_EQ(setting.mine.incomplete, setting.mine.shorter);
  }
}

ucontext_t main_context, coroutine_context;

void big_frames(int depth) {
  char room[20'000];
  asm volatile("" : : "r"(room) : "memory");
  if (depth > 0) big_frames(depth - 1);
  else work();
  asm volatile("" : : "r"(room) : "memory");
}

void coroutine() {
  for (const auto end = seconds_now() + test_seconds(); seconds_now() < end;) {
    RandomCalls calls(work);
    RandomCalls::jumps = false;
    calls.run(6);
    big_frames(5);
    swapcontext(&coroutine_context, &main_context);
  }
}

TEST(Interrupted, OnCoroutineStacks) {
  Setting setting;
  constexpr std::size_t kBytes = 512 * 1024;
  auto* memory = static_cast<char*>(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  getcontext(&coroutine_context);
  coroutine_context.uc_stack = {memory, 0, kBytes};
  coroutine_context.uc_link = &main_context;
  makecontext(&coroutine_context, coroutine, 0);

  Ticker ticker(SIGUSR1, on_sample, 30'000);
  sampler = &ticker;
  for (const auto end = seconds_now() + test_seconds(); seconds_now() < end; work())
    swapcontext(&main_context, &coroutine_context);
  EXPECT_ORACLE_AGREES(setting.mine, 2000u);
  EXPECT_GT(setting.mine.partial, setting.mine.compared / 4);
  EXPECT_LT(setting.mine.partial, setting.mine.compared);
  munmap(memory, kBytes);
}

}  // namespace
}  // namespace tailback::oracle
