// SPDX-License-Identifier: Apache-2.0
// x86-64 machine code, as far as "what does this loop do" needs it: length, control flow, and for the common integer
// instructions the registers and memory they use. Lengths follow the opcode maps of the Intel SDM, volume 2, appendix A.
// Any bytes are safe input. An instruction whose effects are not modelled says so (`modelled` false); it is never guessed.
#pragma once
#include <cstdint>
#include <optional>
#include <span>

namespace tailback::analyzers {

using RegisterSet = std::uint32_t;  // bit n: general register n (0 rax ... 4 rsp, 5 rbp ... 15 r15)

struct Instruction {
  enum class Flow : std::uint8_t { next, branch, jump, call, leave };  // leave: ret, indirect jump, trap

  std::uint64_t address = 0;
  std::uint8_t length = 0;
  Flow flow = Flow::next;
  std::uint64_t target = 0;       // of a direct branch, jump or call
  bool modelled = false;          // the fields below are complete
  bool reads_memory = false, writes_memory = false;
  bool stack_memory = false;      // the memory operand is addressed by rsp or rbp alone
  bool locked = false;            // atomic read-modify-write
  bool exchange = false;          // of these: xchg or cmpxchg, whose result says whether it succeeded
  bool pause = false;             // spin-wait hint
  bool step = false;              // adds a constant to its register (induction)
  bool scalar_compare = false;    // cmp or test
  RegisterSet reads = 0, writes = 0, address_registers = 0;
};

// Decodes the instruction at the start of `code`, which lies at `address`. Nothing when the bytes are no valid 64-bit
// instruction or end before it does.
std::optional<Instruction> decode_instruction(std::span<const std::uint8_t> code, std::uint64_t address);

}  // namespace tailback::analyzers
