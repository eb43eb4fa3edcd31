// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/text.h"

#include <gtest/gtest.h>

namespace tailback::engine {
namespace {

TEST(Text, AddsTextAndNumbersAndStaysTerminated) {
  char buffer[16];
  Text text(buffer, sizeof buffer);
  text.add("a.").add_number(0).add(".").add_number(18446744073709551615u);
  EXPECT_TRUE(text.overflowed());
  EXPECT_EQ(text.view(), "a.0.18446744073");
  EXPECT_EQ(buffer[15], 0);
}

TEST(Scanner, ReadsWhatTheKernelWrites) {
  Scanner scanner("7f0c40000000-7f0c40021000 r-xp 00000000 00:00 12    /x y\nnext");
  EXPECT_EQ(scanner.hex(), 0x7f0c40000000u);
  EXPECT_TRUE(scanner.skip_past("-"));
  EXPECT_EQ(scanner.hex(), 0x7f0c40021000u);
  EXPECT_EQ(scanner.word(), "r-xp");
  EXPECT_EQ(scanner.number(), 0u);
  EXPECT_EQ(scanner.line(), " 00:00 12    /x y");
  EXPECT_EQ(scanner.line(), "next");
  EXPECT_TRUE(scanner.empty());
  EXPECT_FALSE(scanner.skip_past("more"));
  EXPECT_EQ(scanner.number(), 0u);
}

TEST(NumberAfter, MatchesKeysAtLineStartsOnly) {
  const std::string_view status = "nonvoluntary_ctxt_switches:\t7\nvoluntary_ctxt_switches:\t12\n";
  EXPECT_EQ(number_after(status, "voluntary_ctxt_switches:"), 12u);
  EXPECT_EQ(number_after(status, "nonvoluntary_ctxt_switches:"), 7u);
  EXPECT_EQ(number_after(status, "missing:"), 0u);
  EXPECT_EQ(number_after("", "missing:"), 0u);
}

}  // namespace
}  // namespace tailback::engine
