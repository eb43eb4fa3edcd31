// SPDX-License-Identifier: Apache-2.0
// Interpreter of call frame programs and of the few expressions that compilers, linkers and assembler code use in them.
// Never follows a register it does not track: whatever would need one becomes `stop`.
#include "agent/capture/cfi.h"

namespace tailback::capture {
namespace {

using Row = CfiWorkspace::Row;
using Save = CfiWorkspace::Save;
using Term = CfiWorkspace::Term;

enum Tracked : unsigned { kBx, kBp, kReturn, kUntracked };
enum Column : std::uint8_t { kRbx = 3, kRbp = 6, kRsp = 7, kRip = 16 };
constexpr unsigned kMaxOperations = 1u << 16;

Tracked tracked(std::uint64_t column) {
  switch (column) {
    case kRbx: return kBx;
    case kRbp: return kBp;
    case kRip: return kReturn;
    default: return kUntracked;
  }
}

void set_save(Row& row, std::uint64_t column, Save save, std::int64_t value = 0) {
  const auto which = tracked(column);
  if (which == kUntracked) return;
  row.save[which] = save;
  row.value[which] = value;
}

void restore(CfiWorkspace& work, std::uint64_t column) {
  const auto which = tracked(column);
  if (which == kUntracked) return;
  work.row.save[which] = work.initial.save[which];
  work.row.value[which] = work.initial.value[which];
}

void set_cfa(Row& row, std::uint64_t column, std::int64_t offset) {
  row.cfa_register = column < CfiWorkspace::kCfaUnsupported ? static_cast<std::uint8_t>(column) : CfiWorkspace::kCfaUnsupported;
  row.cfa = offset;
}

std::int64_t scaled(std::uint64_t factor, const Fde& fde) {
  return static_cast<std::int64_t>(factor * static_cast<std::uint64_t>(fde.data_align));
}

// An expression is kept by the address of its length.
std::int64_t expression(DwarfCursor& cursor) {
  const auto at = static_cast<std::int64_t>(cursor.at());
  cursor.skip(cursor.uleb());
  return at;
}

// Operations that define the CFA. False: not one of them.
bool define_cfa(std::uint8_t operation, DwarfCursor& cursor, CfiWorkspace& work) {
  Row& row = work.row;
  switch (operation) {
    case 0x0c: {  // def_cfa
      const auto column = cursor.uleb();
      set_cfa(row, column, static_cast<std::int64_t>(cursor.uleb()));
      return true;
    }
    case 0x0d: set_cfa(row, cursor.uleb(), row.cfa_register == CfiWorkspace::kCfaExpression ? 0 : row.cfa); return true;
    case 0x0e: row.cfa = static_cast<std::int64_t>(cursor.uleb()); return true;
    case 0x0f:  // def_cfa_expression
      row.cfa_register = CfiWorkspace::kCfaExpression;
      row.cfa = expression(cursor);
      return true;
    case 0x12: {  // def_cfa_sf
      const auto column = cursor.uleb();
      set_cfa(row, column, scaled(static_cast<std::uint64_t>(cursor.sleb()), work.fde));
      return true;
    }
    case 0x13: row.cfa = scaled(static_cast<std::uint64_t>(cursor.sleb()), work.fde); return true;
    default: return false;
  }
}

// Operations that say where a register is saved. False: not one of them.
bool define_register(std::uint8_t operation, DwarfCursor& cursor, CfiWorkspace& work) {
  Row& row = work.row;
  if (operation < 0x05 || (operation > 0x09 && operation < 0x10) || operation == 0x12 || operation == 0x13) return false;
  if (operation > 0x16 && operation != 0x2f) return false;
  const auto column = cursor.uleb();
  switch (operation) {
    case 0x05: set_save(row, column, Save::at_cfa, scaled(cursor.uleb(), work.fde)); break;
    case 0x06: restore(work, column); break;
    case 0x07: set_save(row, column, Save::undefined); break;
    case 0x08: set_save(row, column, Save::unchanged); break;
    case 0x09:  // register
      cursor.uleb();
      set_save(row, column, Save::unsupported);
      break;
    case 0x10: set_save(row, column, Save::at_expression, expression(cursor)); break;
    case 0x11: set_save(row, column, Save::at_cfa, scaled(static_cast<std::uint64_t>(cursor.sleb()), work.fde)); break;
    case 0x14: case 0x15:  // val_offset: a value, not a place
      cursor.uleb();
      set_save(row, column, Save::unsupported);
      break;
    case 0x16:  // val_expression
      expression(cursor);
      set_save(row, column, Save::unsupported);
      break;
    default: set_save(row, column, Save::at_cfa, -scaled(cursor.uleb(), work.fde)); break;  // GNU_negative_offset_extended
  }
  return true;
}

bool remember_or_restore(std::uint8_t operation, CfiWorkspace& work) {
  if (operation == 0x0a) {
    if (work.depth == CfiWorkspace::kRemembered) return false;
    work.remembered[work.depth++] = work.row;
    return true;
  }
  if (work.depth == 0) return false;
  work.row = work.remembered[--work.depth];
  return true;
}

// Where the next row starts. False: the operation is no advance.
bool advance(std::uint8_t operation, DwarfCursor& cursor, CfiWorkspace& work, std::uint64_t& location) {
  if ((operation & 0xc0) == 0x40) location += (operation & 0x3f) * work.fde.code_align;
  else if (operation == 0x01) location = cursor.pointer(work.fde.pointer_encoding, 0);
  else if (operation == 0x02) location += cursor.fixed<std::uint8_t>() * work.fde.code_align;
  else if (operation == 0x03) location += cursor.fixed<std::uint16_t>() * work.fde.code_align;
  else if (operation == 0x04) location += cursor.fixed<std::uint32_t>() * work.fde.code_align;
  else return false;
  return true;
}

bool execute(std::uint8_t operation, DwarfCursor& cursor, CfiWorkspace& work) {
  if ((operation & 0xc0) == 0x80) {
    set_save(work.row, operation & 0x3f, Save::at_cfa, scaled(cursor.uleb(), work.fde));
  } else if ((operation & 0xc0) == 0xc0) {
    restore(work, operation & 0x3f);
  } else if (operation == 0x0a || operation == 0x0b) {
    return remember_or_restore(operation, work);
  } else if (operation == 0x2e) {
    cursor.uleb();  // GNU_args_size matters to exception handling only
  } else if (operation != 0x00) {
    return define_cfa(operation, cursor, work) || define_register(operation, cursor, work);
  }
  return true;
}

// Runs a program up to the row of `address`. False: corrupt, or too long.
__attribute__((noinline)) bool run(DwarfCursor cursor, std::uint64_t address, CfiWorkspace& work) {
  std::uint64_t location = work.fde.start;
  for (unsigned count = 0; cursor.more(); ++count) {
    if (count == kMaxOperations) return false;
    const auto operation = cursor.fixed<std::uint8_t>();
    if (advance(operation, cursor, work, location)) {
      if (!cursor.ok()) return false;
      if (location > address) {
        work.row_end = location;
        return true;
      }
      work.row_start = location;
    } else if (!execute(operation, cursor, work) || !cursor.ok()) {
      return false;
    }
  }
  return cursor.ok();
}

bool push(CfiWorkspace& work, const Term& term) {
  if (work.term_count == CfiWorkspace::kTerms) return false;
  work.terms[work.term_count++] = term;
  return true;
}

bool push_constant(CfiWorkspace& work, std::int64_t value) { return push(work, Term{Term::kConstant, false, 0, value}); }

bool push_register(CfiWorkspace& work, std::uint8_t column, std::int64_t offset, std::uint64_t address) {
  if (column == kRip) return push_constant(work, static_cast<std::int64_t>(address) + offset);  // known: the rule is for this address
  return column < kRip && push(work, Term{column, false, 0, offset});
}

bool dereference(CfiWorkspace& work) {
  if (work.term_count == 0) return false;
  Term& top = work.terms[work.term_count - 1];
  if (top.deref || (top.base != kRsp && top.base != kRbp)) return false;
  top = Term{top.base, true, top.add, 0};
  return true;
}

bool fold(std::uint8_t operation, std::int64_t left, std::int64_t right, std::int64_t& result) {
  switch (operation) {
    case 0x1a: result = left & right; return true;
    case 0x21: result = left | right; return true;
    case 0x24:
      result = right < 0 || right > 63 ? 0 : static_cast<std::int64_t>(static_cast<std::uint64_t>(left) << right);
      return true;
    case 0x29: result = left == right; return true;
    case 0x2a: result = left >= right; return true;
    case 0x2b: result = left > right; return true;
    case 0x2c: result = left <= right; return true;
    case 0x2d: result = left < right; return true;
    case 0x2e: result = left != right; return true;
    default: return false;
  }
}

std::int64_t wrapping_add(std::int64_t left, std::int64_t right) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(left) + static_cast<std::uint64_t>(right));
}

bool combine(std::uint8_t operation, CfiWorkspace& work) {
  if (work.term_count < 2) return false;
  const Term right = work.terms[--work.term_count];
  Term& left = work.terms[work.term_count - 1];
  const bool right_constant = right.base == Term::kConstant;
  if (operation == 0x22 && (right_constant || left.base == Term::kConstant)) {
    const auto sum = wrapping_add(left.add, right.add);
    if (!right_constant) left = right;
    left.add = sum;
    return true;
  }
  if (operation == 0x1c && right_constant) {
    left.add = wrapping_add(left.add, wrapping_add(~right.add, 1));
    return true;
  }
  return right_constant && left.base == Term::kConstant && fold(operation, left.add, right.add, left.add);
}

bool push_literal(std::uint8_t operation, DwarfCursor& cursor, CfiWorkspace& work) {
  switch (operation) {
    case 0x08: return push_constant(work, cursor.fixed<std::uint8_t>());
    case 0x09: return push_constant(work, cursor.fixed<std::int8_t>());
    case 0x0a: return push_constant(work, cursor.fixed<std::uint16_t>());
    case 0x0b: return push_constant(work, cursor.fixed<std::int16_t>());
    case 0x0c: return push_constant(work, cursor.fixed<std::uint32_t>());
    case 0x0d: return push_constant(work, cursor.fixed<std::int32_t>());
    case 0x0e: case 0x0f: return push_constant(work, cursor.fixed<std::int64_t>());
    case 0x10: return push_constant(work, static_cast<std::int64_t>(cursor.uleb()));
    case 0x11: return push_constant(work, cursor.sleb());
    default: return false;
  }
}

bool evaluate_one(std::uint8_t operation, DwarfCursor& cursor, std::uint64_t address, CfiWorkspace& work) {
  if (operation >= 0x30 && operation < 0x50) return push_constant(work, operation - 0x30);
  if (operation >= 0x70 && operation < 0x90) return push_register(work, static_cast<std::uint8_t>(operation - 0x70), cursor.sleb(), address);
  if (operation >= 0x08 && operation <= 0x11) return push_literal(operation, cursor, work);
  if (operation == 0x06) return dereference(work);
  if (operation == 0x23) return push_constant(work, static_cast<std::int64_t>(cursor.uleb())) && combine(0x22, work);
  if (operation == 0x96) return true;  // nop
  return combine(operation, work);
}

// Value of the expression whose length lies at `at`.
bool evaluate(const UnwindTable& table, std::int64_t at, std::uint64_t address, CfiWorkspace& work, Term& result) {
  DwarfCursor cursor(static_cast<std::uint64_t>(at), table.frames_low, table.frames_high);
  cursor.narrow(cursor.uleb());
  work.term_count = 0;
  while (cursor.more()) {
    const auto operation = cursor.fixed<std::uint8_t>();
    if (!evaluate_one(operation, cursor, address, work) || !cursor.ok()) return false;
  }
  if (!cursor.ok() || work.term_count != 1) return false;
  result = work.terms[0];
  return true;
}

bool cfa_term(const UnwindTable& table, std::uint64_t address, CfiWorkspace& work, Term& cfa) {
  const Row& row = work.row;
  if (row.cfa_register == CfiWorkspace::kCfaExpression) return evaluate(table, row.cfa, address, work, cfa);
  work.term_count = 0;
  if (!push_register(work, row.cfa_register, row.cfa, address)) return false;
  cfa = work.terms[0];
  return true;
}

template <class T>
bool fits(std::int64_t value) {
  return value == static_cast<T>(value);
}

RuleKind kind_of(const Term& cfa) {
  switch (cfa.base) {
    case kRsp: return cfa.deref ? RuleKind::deref_rsp : RuleKind::rsp;
    case kRbp: return cfa.deref ? RuleKind::deref_rbp : RuleKind::rbp;
    case kRbx: return RuleKind::rbx;
    default: return RuleKind::other;
  }
}

bool encode_cfa(const Term& cfa, std::int32_t& field) {
  if (cfa.base == Term::kConstant) return false;
  if (!cfa.deref) {
    field = static_cast<std::int32_t>(cfa.add);
    return fits<std::int32_t>(cfa.add);
  }
  field = static_cast<std::int32_t>(static_cast<std::uint32_t>(cfa.inner) << 8 | static_cast<std::uint8_t>(cfa.add));
  return fits<std::int8_t>(cfa.add) && cfa.inner >= -(1 << 23) && cfa.inner < 1 << 23;
}

// Where a register is saved: relative to the CFA, or to bp.
struct Place {
  std::int64_t offset = 0;
  bool saved = false, from_bp = false;
};

bool find_place(const UnwindTable& table, Tracked which, const Term& cfa, std::uint64_t address, CfiWorkspace& work, Place& place) {
  switch (work.row.save[which]) {
    case Save::unchanged: case Save::undefined: return true;
    case Save::at_cfa: place = Place{work.row.value[which], true, false}; return true;
    case Save::unsupported: return false;
    case Save::at_expression: break;
  }
  Term at;
  if (!evaluate(table, work.row.value[which], address, work, at) || at.deref) return false;
  if (at.base == kRbp) place = Place{at.add, true, true};
  else if (at.base == cfa.base && !cfa.deref) place = Place{at.add - cfa.add, true, false};
  else return false;
  return true;
}

// Index in mcontext_t.gregs of a DWARF column.
constexpr std::uint8_t kContextIndex[16] = {13, 12, 14, 11, 9, 8, 10, 15, 0, 1, 2, 3, 4, 5, 6, 7};

std::uint8_t bx_slot(const Place& place) {
  if (!place.saved) return 0;
  const auto slot = -place.offset / 8;
  return place.offset % 8 == 0 && slot > 0 && slot < Rule::kBxLost ? static_cast<std::uint8_t>(slot) : Rule::kBxLost;
}

__attribute__((noinline)) bool returns_at_cfa(const UnwindTable& table, const Term& cfa, std::uint64_t address, CfiWorkspace& work) {
  Place place;
  return find_place(table, kReturn, cfa, address, work, place) && place.saved && !place.from_bp && place.offset == -8;
}

__attribute__((noinline)) bool encode_bp(const UnwindTable& table, const Term& cfa, std::uint64_t address, CfiWorkspace& work, Rule& rule) {
  Place place;
  if (!find_place(table, kBp, cfa, address, work, place) || !fits<std::int16_t>(place.offset)) return false;
  rule.bp_slot = static_cast<std::int16_t>(place.offset);
  if (place.saved) rule.kind_flags |= Rule::kBpSaved << 4;
  if (place.from_bp) rule.kind_flags |= Rule::kBpFromBp << 4;
  return true;
}

__attribute__((noinline)) void encode_bx(const UnwindTable& table, const Term& cfa, std::uint64_t address, CfiWorkspace& work, Rule& rule) {
  Place place;
  const bool known = find_place(table, kBx, cfa, address, work, place);
  rule.bx_slot = known ? bx_slot(place) : Rule::kBxLost;
  if (place.from_bp) rule.kind_flags |= Rule::kBxFromBp << 4;
}

__attribute__((noinline)) Rule encode(const UnwindTable& table, std::uint64_t address, CfiWorkspace& work) {
  constexpr Rule stop = make_rule(RuleKind::stop);
  if (work.row.save[kReturn] == Save::undefined) return make_rule(RuleKind::end);
  if (work.fde.signal_frame) return make_rule(RuleKind::sigreturn);
  Term cfa;
  std::int32_t field;
  if (!cfa_term(table, address, work, cfa) || !encode_cfa(cfa, field) || !returns_at_cfa(table, cfa, address, work)) return stop;
  Rule rule = make_rule(kind_of(cfa), field);
  if (!encode_bp(table, cfa, address, work, rule)) return stop;
  if (rule.kind() == RuleKind::other) rule.bx_slot = kContextIndex[cfa.base];
  else encode_bx(table, cfa, address, work, rule);
  return rule;
}

}  // namespace

Rule interpret(const UnwindTable& table, std::uint64_t address, CfiWorkspace& work) {
  work.row = Row{};
  work.row.cfa_register = CfiWorkspace::kCfaUnsupported;
  work.initial = work.row;
  work.depth = 0;
  work.row_start = work.fde.start;
  work.row_end = work.fde.start + work.fde.size;
  if (!run(work.fde.common_program, ~std::uint64_t{0}, work)) return make_rule(RuleKind::stop);
  work.initial = work.row;
  work.row_start = work.fde.start;
  if (!run(work.fde.program, address, work)) return make_rule(RuleKind::stop);
  return encode(table, address, work);
}

Rule find_rule(const UnwindTable& table, std::uint64_t address, CfiWorkspace& work) {
  if (!find_fde(table, address, work.fde)) return make_rule(RuleKind::none);
  return interpret(table, address, work);
}

}  // namespace tailback::capture
