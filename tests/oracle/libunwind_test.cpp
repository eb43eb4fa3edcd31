// SPDX-License-Identifier: Apache-2.0
// libunwind as an oracle: its fast backtrace, its stepping cursor, and its cursor over a signal's context. A program of its
// own, since libunwind replaces libgcc's symbols wherever it is linked.
#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include "tests/oracle/oracle.h"
#include "tests/oracle/random_calls.h"
#include "tests/oracle/ticker.h"
#include "tests/oracle/workload.h"

namespace tailback::oracle {
namespace {

Comparison* comparison;
Backtrace other;
unsigned ask_each;
Ticker* sampler;

void visit() { compare_here(*comparison, other, comparison->compared % ask_each == 0); }

__attribute__((noinline)) void fast_backtrace(Frames& frames) {
  static void* addresses[kMost];
  const int count = unw_backtrace(addresses, kMost);
  for (int i = 1; i < count; ++i) frames.add(reinterpret_cast<std::uint64_t>(addresses[i]) - 1);  // without this frame
}

void add_cursor(unw_cursor_t& cursor, bool exact, Frames& frames) {
  do {
    unw_word_t pc;
    if (unw_get_reg(&cursor, UNW_REG_IP, &pc) < 0 || pc == 0) return;
    frames.add(exact ? pc : pc - 1);
    exact = unw_is_signal_frame(&cursor) > 0;  // whoever was interrupted comes next
  } while (unw_step(&cursor) > 0);
}

__attribute__((noinline)) void stepping_backtrace(Frames& frames) {
  unw_context_t context;
  unw_cursor_t cursor;
  unw_getcontext(&context);
  if (unw_init_local(&cursor, &context) < 0 || unw_step(&cursor) <= 0) return;
  add_cursor(cursor, false, frames);
}

void on_sample(int, siginfo_t*, void* opaque) {
  auto& context = *static_cast<ucontext_t*>(opaque);
  const auto from = registers_of(context);
  if (walk_both(*comparison, from, {0, 0})) {
    const bool survived = Survival::attempt([&] {
      unw_cursor_t cursor;
      if (unw_init_local2(&cursor, &context, UNW_INIT_SIGNAL_FRAME) == 0) add_cursor(cursor, true, comparison->theirs);
    });
    if (survived) comparison->compare(0, 0, from.pc);
    else ++comparison->oracle_crashed;
  }
  sampler->arm();
}

void compare_random_calls(Backtrace backtrace, unsigned each, unsigned rounds) {
  Comparison mine;
  comparison = &mine;
  other = backtrace;
  ask_each = each;
  RandomCalls calls(visit);
  for (unsigned i = 0; i < rounds; ++i) calls.run(14);
  EXPECT_ORACLE_AGREES(mine, std::uint64_t{rounds} * 5 / each);
  EXPECT_EQ(mine.incomplete, 0u);
}

TEST(Libunwind, FastBacktraceAgrees) { compare_random_calls(fast_backtrace, 2, long_form() ? 100'000 : 10'000); }

TEST(Libunwind, SteppingAgrees) { compare_random_calls(stepping_backtrace, 64, long_form() ? 40'000 : 5'000); }

TEST(Libunwind, AgreesOnInterruptedFrames) {
  Comparison mine;
  comparison = &mine;
  Survival::install();
  unw_set_caching_policy(unw_local_addr_space, UNW_CACHE_GLOBAL);
  {
    Ticker ticker(SIGUSR1, on_sample, 200'000);
    sampler = &ticker;
    RandomCalls::jumps = false;
    RandomCalls calls([] {
      sort_some();
      compute_some();
      ask_clocks();
    });
    for (const auto end = seconds_now() + (long_form() ? 60 : 4); seconds_now() < end;) calls.run(6);
  }
  EXPECT_ORACLE_AGREES(mine, 500u);
  EXPECT_EQ(mine.incomplete, mine.shorter);
}

}  // namespace
}  // namespace tailback::oracle
