// SPDX-License-Identifier: Apache-2.0
// Random calls, alloca, realigned frames, exceptions and longjmp: full walk, replayed walk, libgcc and Boost.Stacktrace must
// name the same frames at every place.
#include <boost/stacktrace.hpp>

#include "tests/oracle/libgcc_backtrace.h"
#include "tests/oracle/oracle.h"
#include "tests/oracle/random_calls.h"

namespace tailback::oracle {
namespace {

Comparison* comparison;
Backtrace other;
unsigned ask_each;

void visit() { compare_here(*comparison, other, comparison->compared % ask_each == 0); }

__attribute__((noinline)) void boost_backtrace(Frames& frames) {
  const boost::stacktrace::stacktrace trace(1, kMost);  // without this function's own frame
  for (const auto& frame : trace) frames.add(reinterpret_cast<std::uint64_t>(frame.address()) - 1);
}

void compare_random_calls(Backtrace backtrace, unsigned each, unsigned rounds, int depth) {
  Comparison mine;
  comparison = &mine;
  other = backtrace;
  ask_each = each;
  RandomCalls calls(visit);
  for (unsigned i = 0; i < rounds; ++i) calls.run(depth);
  EXPECT_ORACLE_AGREES(mine, std::uint64_t{rounds} * 5 / each);
  EXPECT_EQ(mine.incomplete, 0u);
}

TEST(RandomCalls, AgreeWithLibgcc) { compare_random_calls(libgcc_backtrace, 16, long_form() ? 400'000 : 20'000, 14); }

TEST(RandomCalls, AgreeWithLibgccEverywhere) { compare_random_calls(libgcc_backtrace, 1, long_form() ? 40'000 : 2'000, 14); }

TEST(RandomCalls, AgreeWithBoostStacktrace) { compare_random_calls(boost_backtrace, 4, long_form() ? 40'000 : 2'000, 14); }

TEST(RandomCalls, DeepStacks) { compare_random_calls(libgcc_backtrace, 64, long_form() ? 2'000 : 40, 120); }

}  // namespace
}  // namespace tailback::oracle
