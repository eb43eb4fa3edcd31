// SPDX-License-Identifier: Apache-2.0
// What the loops of a function do, judged from its machine code alone. The judgement is a proof or nothing: a loop is
// called waiting only when no iteration can change anything its next one depends on, so that only another thread (or a
// signal, or a device) can end it. Assumes nothing about compilers or names. x86-64; elsewhere nothing is found.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "analyzers/model/x86_instruction.h"

namespace tailback::analyzers {

enum class LoopKind {
  other,    // does work, or its code is beyond the model
  waiting,  // reads the same memory again and again, keeps no result
  delay,    // counts and does nothing else
  search,   // steps through memory comparing, keeps no result: linear search, string scan
  chase,    // the same along pointers: list traversal
};

struct CodeLoop {
  std::uint64_t begin = 0, end = 0;  // first byte, one past the last
  std::uint64_t branch = 0;          // the branch back
  LoopKind kind = LoopKind::other;
  bool has_pause = false;
};

// The loops of one function: each backward branch with the code it spans, shortest first. `start`: address of the first
// byte. Code behind bytes that cannot be decoded is left out.
std::vector<CodeLoop> find_loops(std::span<const std::uint8_t> code, std::uint64_t start);

LoopKind classify_loop(std::span<const Instruction> body);

}  // namespace tailback::analyzers
