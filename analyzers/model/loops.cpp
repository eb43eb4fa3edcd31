// SPDX-License-Identifier: Apache-2.0
// Loop bodies by linear decoding; data flow by one pass in address order. A register is carried when the body reads it
// before it writes it and writes it at all: its value goes from one iteration to the next.
#include "analyzers/model/loops.h"

#include <algorithm>

namespace tailback::analyzers {
namespace {

constexpr std::size_t kMostInstructions = 64;  // longer bodies do work

struct BodyFacts {
  bool beyond_model = false, calls = false, stores = false, spills = false, updates_atomically = false, has_pause = false, compares = false;
  unsigned loads = 0, exchanges = 0;
  RegisterSet carried = 0;        // values that survive an iteration
  RegisterSet stepped = 0;        // of these: only ever moved by a constant
  RegisterSet chased = 0;         // of these: replaced by what they point to
  RegisterSet load_addresses = 0; // registers that address memory
};

RegisterSet carried_registers(std::span<const Instruction> body) {
  RegisterSet written = 0, read_first = 0;
  for (const Instruction& instruction : body) {
    read_first |= instruction.reads & ~written;
    written |= instruction.writes;
  }
  return read_first & written;
}

// Loads whose address depends on a value loaded from it: p = p->next, also through p->next loaded ahead of its use.
RegisterSet chased_registers(std::span<const Instruction> body, RegisterSet carried) {
  RegisterSet chased = 0, reached = 0;
  for (const Instruction& instruction : body) {
    const bool load = instruction.reads_memory && !instruction.stack_memory && instruction.writes != 0;
    if (load && (instruction.address_registers & carried)) {
      chased |= instruction.writes & carried;
      reached |= instruction.writes;
    } else if (instruction.reads_memory || instruction.writes == 0) {
      continue;
    } else if (instruction.reads & reached) {
      chased |= instruction.writes & carried;  // moved into the carried register
    }
  }
  return chased;
}

// Registers that address loads, directly or by way of an instruction that computes the address.
RegisterSet address_sources(std::span<const Instruction> body, RegisterSet load_addresses) {
  RegisterSet sources = load_addresses;
  for (const Instruction& instruction : body)
    if (!instruction.reads_memory && (instruction.writes & load_addresses)) sources |= instruction.reads;
  return sources;
}

RegisterSet stepped_registers(std::span<const Instruction> body, RegisterSet carried) {
  RegisterSet stepped = carried;
  for (const Instruction& instruction : body)
    if (!instruction.step) stepped &= ~instruction.writes;
  return stepped;
}

BodyFacts facts_of(std::span<const Instruction> body) {
  BodyFacts facts;
  for (const Instruction& instruction : body) {
    facts.calls |= instruction.flow == Instruction::Flow::call;
    facts.beyond_model |= !instruction.modelled && instruction.flow != Instruction::Flow::call;
    facts.has_pause |= instruction.pause;
    facts.compares |= instruction.scalar_compare;
    if (instruction.exchange) ++facts.exchanges;
    else if (instruction.locked) facts.updates_atomically = true;
    else if (instruction.writes_memory) (instruction.stack_memory ? facts.spills : facts.stores) = true;
    if (instruction.reads_memory) {
      ++facts.loads;
      facts.load_addresses |= instruction.address_registers;
    }
  }
  facts.carried = carried_registers(body);
  facts.stepped = stepped_registers(body, facts.carried);
  facts.chased = chased_registers(body, facts.carried) & address_sources(body, facts.load_addresses) & ~facts.stepped;
  return facts;
}

}  // namespace

LoopKind classify_loop(std::span<const Instruction> body) {
  if (body.empty() || body.size() > kMostInstructions) return LoopKind::other;
  const BodyFacts facts = facts_of(body);
  if (facts.stores || facts.updates_atomically) return LoopKind::other;
  // The hint has no other use. Unoptimised code spills to the stack and calls helpers; what runs inside those is judged there.
  if (facts.has_pause) return LoopKind::waiting;
  if (facts.beyond_model || facts.spills || facts.calls) return LoopKind::other;
  const bool same_addresses = !(facts.load_addresses & facts.carried);
  const bool keeps_results = (facts.carried & ~facts.stepped) != 0;
  if (same_addresses && !keeps_results) return facts.loads + facts.exchanges > 0 ? LoopKind::waiting : LoopKind::delay;
  if (facts.exchanges > 0 || !facts.compares || facts.loads == 0) return LoopKind::other;
  if (!keeps_results) return LoopKind::search;
  return (facts.carried & ~facts.stepped & ~facts.chased) == 0 ? LoopKind::chase : LoopKind::other;
}

std::vector<CodeLoop> find_loops(std::span<const std::uint8_t> code, std::uint64_t start) {
  std::vector<Instruction> instructions;
  for (std::size_t at = 0; at < code.size();) {
    const auto instruction = decode_instruction(code.subspan(at), start + at);
    if (!instruction) break;
    instructions.push_back(*instruction);
    at += instruction->length;
  }
  std::vector<CodeLoop> loops;
  for (std::size_t last = 0; last < instructions.size(); ++last) {
    const Instruction& branch = instructions[last];
    const bool backward = (branch.flow == Instruction::Flow::branch || branch.flow == Instruction::Flow::jump) &&
                          branch.target >= start && branch.target <= branch.address;
    if (!backward) continue;
    const auto first = std::lower_bound(instructions.begin(), instructions.begin() + static_cast<std::ptrdiff_t>(last), branch.target,
                                        [](const Instruction& i, std::uint64_t address) { return i.address < address; });
    if (first->address != branch.target) continue;
    const std::span<const Instruction> body(&*first, &instructions[last] + 1);
    const bool pause = std::any_of(body.begin(), body.end(), [](const Instruction& i) { return i.pause; });
    loops.push_back({branch.target, branch.address + branch.length, branch.address, classify_loop(body), pause});
  }
  std::sort(loops.begin(), loops.end(), [](const CodeLoop& a, const CodeLoop& b) { return a.end - a.begin < b.end - b.begin; });
  return loops;
}

}  // namespace tailback::analyzers
