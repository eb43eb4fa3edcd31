// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/cut_stacks.h"

#include <gtest/gtest.h>

namespace tailback::analyzers {
namespace {

enum : FunctionId { main_ = 1, loop, script, hash, update, parse, allocate, digest, copy };

const FunctionPath hashing{main_, loop, script, hash, update}, parsing{main_, loop, script, parse}, allocating{main_, loop, script, allocate};
const FunctionPath in_digest{digest}, in_copy{copy}, nothing_known{};
const FunctionPath hash_path{main_, loop, script, hash, update};

TEST(CutStacks, AreTakenForCalledFromWhereTheTurnsOtherStacksAre) {
  CutStacks stacks(main_);
  stacks.see(1, hashing), stacks.see(1, in_digest);
  EXPECT_TRUE(stacks.is_whole(hashing));
  EXPECT_FALSE(stacks.is_whole(in_digest));
  EXPECT_FALSE(stacks.is_whole(nothing_known));
  EXPECT_EQ(stacks.caller_of(1, in_digest), hash_path);
}

TEST(CutStacks, OfATurnWithoutWholeOnesAreCalledAsInTheOthers) {
  CutStacks stacks(main_);
  stacks.see(1, hashing), stacks.see(1, in_digest), stacks.see(2, in_digest), stacks.see(3, nothing_known);
  EXPECT_EQ(stacks.caller_of(2, in_digest), hash_path);
  EXPECT_TRUE(stacks.caller_of(3, nothing_known).empty());
}

TEST(CutStacks, DoNotFollowTheOneSampleOfSomethingElse) {
  CutStacks stacks(main_);
  for (std::uint64_t turn = 1; turn <= 3; ++turn) stacks.see(turn, hashing), stacks.see(turn, in_digest);
  stacks.see(4, allocating), stacks.see(4, in_digest);
  EXPECT_EQ(stacks.caller_of(4, in_digest), hash_path);
}

TEST(CutStacks, FollowTwoWholeOnesOfTheirTurn) {
  CutStacks stacks(main_);
  for (std::uint64_t turn = 1; turn <= 3; ++turn) stacks.see(turn, hashing), stacks.see(turn, in_digest);
  stacks.see(4, parsing), stacks.see(4, parsing), stacks.see(4, in_digest);
  EXPECT_EQ(stacks.caller_of(4, in_digest), parsing);
}

TEST(CutStacks, OfSeveralCallersFollowTheirTurns) {
  CutStacks stacks(main_);
  stacks.see(1, hashing), stacks.see(1, in_copy), stacks.see(2, parsing), stacks.see(2, in_copy), stacks.see(3, in_copy);
  EXPECT_EQ(stacks.caller_of(1, in_copy), hashing);
  EXPECT_EQ(stacks.caller_of(2, in_copy), parsing);
  EXPECT_EQ(stacks.caller_of(3, in_copy), (FunctionPath{main_, loop, script}));
}

TEST(CutStacks, AreToldApartByWhereTheyEnd) {
  CutStacks stacks(main_);
  stacks.see(1, hashing), stacks.see(1, in_digest), stacks.see(2, parsing), stacks.see(2, in_copy), stacks.see(3, in_copy), stacks.see(3, hashing);
  EXPECT_EQ(stacks.caller_of(3, in_digest), hash_path);
  EXPECT_EQ(stacks.caller_of(2, in_copy), parsing);
}

}  // namespace
}  // namespace tailback::analyzers
