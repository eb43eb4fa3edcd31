// SPDX-License-Identifier: Apache-2.0
// The decoder behind x86_instruction.h: prefixes, opcode, ModRM with SIB and displacement, immediate; then the effects of
// the integer instructions compilers use in waiting and searching loops.
#include "analyzers/model/x86_instruction.h"

#include <cstring>

namespace tailback::analyzers {
namespace {

constexpr RegisterSet kRax = 1u << 0, kRdx = 1u << 2;
constexpr std::size_t kLongestInstruction = 15;
enum class Map : std::uint8_t { one_byte, two_byte, three_byte_38, three_byte_3a, vector };

class Decoder {
 public:
  Decoder(std::span<const std::uint8_t> code, std::uint64_t address)
      : code_(code.first(std::min(code.size(), kLongestInstruction))) {
    out_.address = address;
  }

  std::optional<Instruction> run() {
    read_prefixes();
    if (!read_opcode()) return std::nullopt;
    const bool has_modrm = needs_modrm();
    if (has_modrm && !read_modrm()) return std::nullopt;
    const int immediate = immediate_bytes();
    if (immediate < 0 || !read_immediate(immediate)) return std::nullopt;
    out_.length = static_cast<std::uint8_t>(at_);
    set_flow();
    if (map_ == Map::one_byte) model_one_byte();
    else if (map_ == Map::two_byte) model_two_byte();
    if (out_.modelled && memory_) out_.stack_memory = out_.address_registers != 0 && !(out_.address_registers & ~((1u << 4) | (1u << 5)));
    return out_;
  }

 private:
  bool more() const { return at_ < code_.size(); }

  void read_prefixes() {
    for (; more(); ++at_) {
      switch (code_[at_]) {
        case 0x66: operand16_ = true; continue;
        case 0x67: address32_ = true; continue;
        case 0xf0: lock_ = true; continue;
        case 0xf2: repne_ = true; continue;
        case 0xf3: rep_ = true; continue;
        case 0x26: case 0x2e: case 0x36: case 0x3e: continue;
        case 0x64: case 0x65: segment_ = true; continue;
        default: break;
      }
      break;
    }
    if (more() && (code_[at_] & 0xf0) == 0x40) rex_ = code_[at_++];
  }

  bool take(std::uint8_t& byte) {
    if (!more()) return false;
    byte = code_[at_++];
    return true;
  }

  bool read_opcode() {
    if (!take(opcode_)) return false;
    if (opcode_ == 0xc5 || opcode_ == 0xc4 || opcode_ == 0x62) return read_vector_prefix();
    if (opcode_ != 0x0f) return true;
    if (!take(opcode_)) return false;
    map_ = Map::two_byte;
    if (opcode_ == 0x38 || opcode_ == 0x3a) {
      map_ = opcode_ == 0x38 ? Map::three_byte_38 : Map::three_byte_3a;
      return take(opcode_);
    }
    return true;
  }

  bool read_vector_prefix() {  // VEX (two or three bytes) and EVEX (four)
    map_ = Map::vector;
    vector_map_ = 1;
    const int more_bytes = opcode_ == 0xc5 ? 1 : opcode_ == 0xc4 ? 2 : 3;
    std::uint8_t byte = 0;
    for (int i = 0; i < more_bytes; ++i) {
      if (!take(byte)) return false;
      if (i == 0 && more_bytes > 1) vector_map_ = byte & (more_bytes == 2 ? 0x1f : 0x07);
    }
    return take(opcode_);
  }

  bool needs_modrm() const {
    const std::uint8_t op = opcode_;
    if (map_ == Map::vector) return !(vector_map_ == 1 && op == 0x77);  // vzeroupper
    if (map_ == Map::three_byte_38 || map_ == Map::three_byte_3a) return true;
    if (map_ == Map::two_byte) {
      if ((op >= 0x05 && op <= 0x0c) || op == 0x0e || (op >= 0x30 && op <= 0x37) || op == 0x77) return false;
      return !((op >= 0x80 && op <= 0x8f) || (op >= 0xa0 && op <= 0xa2) || (op >= 0xa8 && op <= 0xaa) || (op >= 0xc8 && op <= 0xcf));
    }
    if (op < 0x40) return (op & 7) < 4;
    if (op >= 0x80 && op <= 0x8f) return true;
    if (op >= 0xd0 && op <= 0xdf) return op <= 0xd3 || op >= 0xd8;
    return op == 0x63 || op == 0x69 || op == 0x6b || op == 0xc0 || op == 0xc1 || op == 0xc6 || op == 0xc7 || op == 0xf6 ||
           op == 0xf7 || op == 0xfe || op == 0xff;
  }

  bool read_modrm() {
    std::uint8_t modrm = 0;
    if (!take(modrm)) return false;
    mod_ = modrm >> 6;
    digit_ = (modrm >> 3) & 7;
    reg_ = digit_ | ((rex_ & 4) << 1);
    rm_ = (modrm & 7) | ((rex_ & 1) << 3);
    memory_ = mod_ != 3;
    if (!memory_) return true;
    int displacement = mod_ == 1 ? 1 : mod_ == 2 ? 4 : 0;
    if ((modrm & 7) == 4) {
      std::uint8_t sib = 0;
      if (!take(sib)) return false;
      const unsigned index = ((sib >> 3) & 7) | ((rex_ & 2) << 2), base = (sib & 7) | ((rex_ & 1) << 3);
      if (index != 4) out_.address_registers |= 1u << index;
      if ((sib & 7) == 5 && mod_ == 0) displacement = 4;
      else out_.address_registers |= 1u << base;
    } else if ((modrm & 7) == 5 && mod_ == 0) {
      displacement = 4;  // relative to rip
    } else {
      out_.address_registers |= 1u << rm_;
    }
    at_ += static_cast<std::size_t>(displacement);
    return at_ <= code_.size();
  }

  int immediate_bytes() const {  // -1: no such instruction
    const std::uint8_t op = opcode_;
    const int word = operand16_ && !(rex_ & 8) ? 2 : 4;
    if (map_ == Map::vector) {
      if (vector_map_ == 3) return 1;
      return vector_map_ == 1 && ((op >= 0x70 && op <= 0x73) || op == 0xc2 || (op >= 0xc4 && op <= 0xc6)) ? 1 : 0;
    }
    if (map_ == Map::three_byte_38) return 0;
    if (map_ == Map::three_byte_3a) return 1;
    if (map_ == Map::two_byte) {
      if (op >= 0x80 && op <= 0x8f) return 4;
      return (op >= 0x70 && op <= 0x73) || op == 0xa4 || op == 0xac || op == 0xba || op == 0xc2 || (op >= 0xc4 && op <= 0xc6) || op == 0x0f ? 1 : 0;
    }
    if (op < 0x40) return (op & 7) == 4 ? 1 : (op & 7) == 5 ? word : (op & 7) > 5 ? -1 : 0;
    if (op == 0x60 || op == 0x61 || op == 0x82 || op == 0x9a || (op >= 0xd4 && op <= 0xd6) || op == 0xea || op == 0xce) return -1;
    if (op >= 0x70 && op <= 0x7f) return 1;
    if (op >= 0xb0 && op <= 0xb7) return 1;
    if (op >= 0xb8 && op <= 0xbf) return rex_ & 8 ? 8 : word;
    if (op >= 0xa0 && op <= 0xa3) return address32_ ? 4 : 8;
    switch (op) {
      case 0x68: case 0x69: case 0x81: case 0xa9: case 0xc7: return word;
      case 0x6a: case 0x6b: case 0x80: case 0x83: case 0xa8: case 0xc0: case 0xc1: case 0xc6: case 0xcd: case 0xeb: return 1;
      case 0xe0: case 0xe1: case 0xe2: case 0xe3: case 0xe4: case 0xe5: case 0xe6: case 0xe7: return 1;
      case 0xc2: case 0xca: return 2;
      case 0xc8: return 3;
      case 0xe8: case 0xe9: return 4;
      case 0xf6: return digit_ < 2 ? 1 : 0;
      case 0xf7: return digit_ < 2 ? word : 0;
      default: return 0;
    }
  }

  bool read_immediate(int bytes) {
    if (at_ + static_cast<std::size_t>(bytes) > code_.size()) return false;
    if (bytes == 1) immediate_ = static_cast<std::int8_t>(code_[at_]);
    if (bytes == 4) {
      std::int32_t value = 0;
      std::memcpy(&value, code_.data() + at_, 4);
      immediate_ = value;
    }
    at_ += static_cast<std::size_t>(bytes);
    return true;
  }

  void set_flow() {
    using Flow = Instruction::Flow;
    const std::uint8_t op = opcode_;
    Flow flow = Flow::next;
    if (map_ == Map::two_byte) {
      if (op >= 0x80 && op <= 0x8f) flow = Flow::branch;
      else if (op == 0x0b) flow = Flow::leave;
    } else if (map_ == Map::one_byte) {
      if ((op >= 0x70 && op <= 0x7f) || (op >= 0xe0 && op <= 0xe3)) flow = Flow::branch;
      else if (op == 0xe9 || op == 0xeb) flow = Flow::jump;
      else if (op == 0xe8 || (op == 0xff && (digit_ == 2 || digit_ == 3))) flow = Flow::call;
      else if (op == 0xc2 || op == 0xc3 || op == 0xca || op == 0xcb || op == 0xcc || op == 0xf4 || (op == 0xff && (digit_ == 4 || digit_ == 5))) flow = Flow::leave;
    }
    out_.flow = flow;
    if (flow != Flow::next && flow != Flow::leave && op != 0xff) out_.target = out_.address + out_.length + static_cast<std::uint64_t>(immediate_);
    out_.modelled = flow != Flow::next && flow != Flow::call && !(op >= 0xe0 && op <= 0xe3);
  }

  // The operand ModRM.rm names: a register or memory.
  void use_rm(bool read, bool write) {
    if (memory_) {
      out_.reads_memory |= read;
      out_.writes_memory |= write;
      out_.reads |= out_.address_registers;
      out_.locked |= lock_;
      return;
    }
    if (read) out_.reads |= 1u << rm_;
    if (write) out_.writes |= 1u << rm_;
  }
  void use_reg(bool read, bool write) {
    if (read) out_.reads |= 1u << reg_;
    if (write) out_.writes |= 1u << reg_;
  }
  // A write to 8 or 16 bits of a register keeps the rest of it, but compilers read what they wrote: no read counted.

  void model_arithmetic(unsigned operation) {  // add or adc sbb and sub xor cmp, in the forms rm,r  r,rm  rax,imm
    const bool compares = operation == 7, form_rm_first = (opcode_ & 7) < 2, with_accumulator = (opcode_ & 7) >= 4;
    out_.modelled = operation != 2 && operation != 3;
    out_.scalar_compare = compares;
    if (with_accumulator) {
      out_.reads |= kRax;
      if (!compares) out_.writes |= kRax;
      out_.step = operation == 0 || operation == 5;
      return;
    }
    const bool clears = !memory_ && reg_ == rm_ && (operation == 6 || operation == 5);
    if (clears) {
      use_rm(false, true);
      return;
    }
    use_rm(true, form_rm_first && !compares);
    use_reg(true, !form_rm_first && !compares);
  }

  void model_group1() {
    const bool compares = digit_ == 7;
    out_.modelled = digit_ != 2 && digit_ != 3;
    out_.scalar_compare = compares;
    out_.step = !memory_ && (digit_ == 0 || digit_ == 5);
    use_rm(true, !compares);
  }

  void model_one_byte() {
    const std::uint8_t op = opcode_;
    if (op < 0x40) return model_arithmetic(op >> 3);
    if (op >= 0x50 && op <= 0x5f) return model_push_pop();
    if (op >= 0xb0 && op <= 0xbf) {
      out_.modelled = true;
      out_.writes |= 1u << ((op & 7) | ((rex_ & 1) << 3));
      return;
    }
    switch (op) {
      case 0x80: case 0x81: case 0x83: return model_group1();
      case 0x84: case 0x85: out_.modelled = out_.scalar_compare = true; use_rm(true, false); return use_reg(true, false);
      case 0x86: case 0x87: return model_exchange();
      case 0x88: case 0x89: out_.modelled = true; use_reg(true, false); return use_rm(false, true);
      case 0x8a: case 0x8b: case 0x63: out_.modelled = true; use_rm(true, false); return use_reg(false, true);
      case 0x8d: return model_lea();
      case 0x90: out_.modelled = !(rex_ & 1); out_.pause = rep_; return;
      case 0xa8: case 0xa9: out_.modelled = out_.scalar_compare = true; out_.reads |= kRax; return;
      case 0x98: out_.modelled = true; out_.reads |= kRax; out_.writes |= kRax; return;
      case 0xc0: case 0xc1: case 0xd0: case 0xd1: case 0xd2: case 0xd3: out_.modelled = true; return use_rm(true, true);
      case 0xc6: case 0xc7: out_.modelled = digit_ == 0; return use_rm(false, true);
      case 0xf6: case 0xf7: return model_group3();
      case 0xfe: case 0xff:
        if (digit_ > 1) return;
        out_.modelled = true;
        out_.step = !memory_;
        return use_rm(true, true);
      default: return;
    }
  }

  void model_push_pop() {
    const RegisterSet reg = 1u << ((opcode_ & 7) | ((rex_ & 1) << 3));
    out_.modelled = out_.stack_memory = true;
    (opcode_ < 0x58 ? out_.reads : out_.writes) |= reg;
    (opcode_ < 0x58 ? out_.writes_memory : out_.reads_memory) = true;
  }

  void model_exchange() {
    out_.modelled = true;
    use_reg(true, true);
    use_rm(true, true);
    out_.exchange = out_.locked = memory_;  // xchg with memory is atomic without a prefix
  }

  void model_lea() {
    out_.modelled = true;
    out_.step = out_.address_registers == 1u << reg_;
    out_.reads |= out_.address_registers;
    out_.address_registers = 0;
    memory_ = false;
    out_.writes |= 1u << reg_;
  }

  void model_group3() {
    if (digit_ > 3) return;
    out_.modelled = true;
    out_.scalar_compare = digit_ < 2;
    use_rm(true, digit_ >= 2);
  }

  void model_two_byte() {
    const std::uint8_t op = opcode_;
    if (op >= 0x40 && op <= 0x4f) {  // cmov
      out_.modelled = true;
      use_rm(true, false);
      return use_reg(true, true);
    }
    if (op >= 0x90 && op <= 0x9f) {
      out_.modelled = true;
      return use_rm(false, true);
    }
    switch (op) {
      case 0xb6: case 0xb7: case 0xbe: case 0xbf: out_.modelled = true; use_rm(true, false); return use_reg(false, true);
      case 0xb0: case 0xb1:
        out_.modelled = true;
        out_.exchange = true;
        use_rm(true, true);
        use_reg(true, false);
        out_.reads |= kRax;
        out_.writes |= kRax;
        return;
      case 0xc0: case 0xc1: out_.modelled = true; use_rm(true, true); return use_reg(true, true);
      case 0x18: case 0x1e: case 0x1f: case 0x0d: out_.modelled = true; out_.address_registers = 0; memory_ = false; return;
      case 0x31: out_.modelled = true; out_.writes |= kRax | kRdx; return;
      case 0xae: out_.modelled = !memory_ && digit_ >= 5; return;  // fences
      case 0xaf: out_.modelled = true; use_rm(true, false); return use_reg(true, true);
      default: return;
    }
  }

  std::span<const std::uint8_t> code_;
  std::size_t at_ = 0;
  bool operand16_ = false, address32_ = false, lock_ = false, rep_ = false, repne_ = false, segment_ = false, memory_ = false;
  std::uint8_t rex_ = 0, opcode_ = 0;
  Map map_ = Map::one_byte;
  unsigned vector_map_ = 0, mod_ = 0, digit_ = 0, reg_ = 0, rm_ = 0;
  std::int64_t immediate_ = 0;
  Instruction out_;
};

}  // namespace

std::optional<Instruction> decode_instruction(std::span<const std::uint8_t> code, std::uint64_t address) {
  return Decoder(code, address).run();
}

}  // namespace tailback::analyzers
