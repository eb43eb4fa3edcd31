// SPDX-License-Identifier: Apache-2.0
// From an instruction address to the rule that finds its caller: look-up of the FDE through .eh_frame_hdr and interpretation
// of its call frame program (DWARF 5 section 6.4, LSB 5.0 core section 10.6) for the three registers that the walker follows.
// Signal-safe: no allocation, reads bounded by the UnwindTable, work bounded; what is corrupt or not understood is `stop`.
#pragma once
#include <cstdint>

#include "agent/capture/dwarf_cursor.h"
#include "agent/capture/unwind_table.h"

namespace tailback::capture {

enum class RuleKind : std::uint8_t {
  none,       // not known (an empty entry of a cache, code without an FDE)
  stop,       // no way to find the caller
  end,        // there is no caller: the root of a thread
  rsp,        // CFA = sp + cfa
  rbp,        // CFA = bp + cfa
  rbx,        // CFA = bx + cfa
  other,      // CFA = another register + cfa: for interrupted frames only, whose registers are all known
  deref_rsp,  // CFA = *(sp + inner) + outer: hand-written code that keeps its entry sp in memory
  deref_rbp,  // CFA = *(bp + inner) + outer: functions that realign their stack
  sigreturn,  // sp points at the ucontext of the interrupted frame
};

// How to step from one frame to its caller. The return address is always at CFA - 8, the caller's sp is the CFA.
struct Rule {
  static constexpr std::uint8_t kBpFromBp = 1;     // the caller's bp is saved at bp + bp_slot, not at CFA + bp_slot
  static constexpr std::uint8_t kBxFromBp = 2;     // likewise bx at bp - 8 * bx_slot
  static constexpr std::uint8_t kBpSaved = 4;      // otherwise bp is the caller's already
  static constexpr std::uint8_t kBxLost = 0xff;

  std::int32_t cfa;        // deref kinds: inner * 256 + outer
  std::int16_t bp_slot;
  std::uint8_t bx_slot;    // bx is saved at CFA - 8 * bx_slot; 0: bx is the caller's already; kBxLost: unknown.
                           // Kind other: index of the register in mcontext_t.gregs
  std::uint8_t kind_flags; // kind in the low 4 bits, flags above

  RuleKind kind() const { return static_cast<RuleKind>(kind_flags & 0x0f); }
  std::uint8_t flags() const { return kind_flags >> 4; }
  std::int32_t inner() const { return cfa >> 8; }
  std::int32_t outer() const { return static_cast<std::int8_t>(cfa & 0xff); }
};
static_assert(sizeof(Rule) == 8);

constexpr Rule make_rule(RuleKind kind, std::int32_t cfa = 0, std::int16_t bp_slot = 0, std::uint8_t bx_slot = 0, std::uint8_t flags = 0) {
  return Rule{cfa, bp_slot, bx_slot, static_cast<std::uint8_t>(static_cast<std::uint8_t>(kind) | flags << 4)};
}

struct Fde {
  std::uint64_t start = 0, size = 0;  // code range
  std::uint64_t code_align = 1;
  std::int64_t data_align = 1;
  std::uint8_t pointer_encoding = 0;
  bool signal_frame = false;
  DwarfCursor common_program, program;
};

// Working memory of the interpreter, too big for a signal handler's stack. Needs no initialisation.
struct CfiWorkspace {
  enum class Save : std::uint8_t { unchanged, undefined, at_cfa, at_expression, unsupported };
  static constexpr unsigned kTracked = 3;   // bx, bp, return address
  static constexpr unsigned kRemembered = 8;
  static constexpr unsigned kTerms = 8;

  struct Row {
    std::int64_t cfa;                  // offset, or address of the expression's length
    std::int64_t value[kTracked];
    Save save[kTracked];
    std::uint8_t cfa_register;         // kCfaExpression: `cfa` is an expression
  };
  static constexpr std::uint8_t kCfaExpression = 0xff, kCfaUnsupported = 0xfe;

  // A value that is known up to a register: base + add, or *(base + inner) + add.
  struct Term {
    static constexpr std::uint8_t kConstant = 0xff;
    std::uint8_t base;  // DWARF column, or kConstant
    bool deref;
    std::int64_t inner, add;
  };

  Fde fde;
  Row row, initial, remembered[kRemembered];
  unsigned depth;
  std::uint64_t row_start, row_end;    // range of addresses for which the last result holds
  Term terms[kTerms];
  unsigned term_count;
};

// The FDE whose code range contains `address`. False: none, or unreadable.
bool find_fde(const UnwindTable& table, std::uint64_t address, Fde& fde);

// Number of entries of the table, and the FDE of one of them: for whole-file checks.
std::uint64_t fde_count(const UnwindTable& table);
bool fde_at(const UnwindTable& table, std::uint64_t index, Fde& fde);

// The rule at an address of workspace.fde.
Rule interpret(const UnwindTable& table, std::uint64_t address, CfiWorkspace& workspace);

// find_fde and interpret; `none` when there is no FDE.
Rule find_rule(const UnwindTable& table, std::uint64_t address, CfiWorkspace& workspace);

}  // namespace tailback::capture
