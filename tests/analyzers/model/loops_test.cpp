// SPDX-License-Identifier: Apache-2.0
// Loops as compilers write them, in assembly so that no option changes them; and the decoder's lengths over this very
// program, against its own symbol boundaries.
#include "analyzers/model/loops.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace tailback::analyzers {
namespace {

#define LOOP(name, text) asm(".pushsection .text.loops,\"ax\"\n" #name "_begin: .intel_syntax noprefix\n" text "\n.att_syntax\n" #name "_end:\n.popsection"); \
  extern "C" const std::uint8_t name##_begin[], name##_end[];

LOOP(wait_flag, "1: mov eax, [rdi]\n test eax, eax\n je 1b\n ret")
LOOP(wait_byte, "1: movzx eax, byte ptr [rip+0x100]\n test al, al\n je 1b\n ret")
LOOP(wait_pause, "1: pause\n mov rax, [rbx+8]\n cmp rax, [rbx+16]\n je 1b\n ret")
LOOP(wait_unoptimised, "1: pause\n mov rax, [rbp-8]\n mov [rbp-16], rax\n mov rax, [rbp-16]\n movzx eax, byte ptr [rax]\n test al, al\n jne 1b\n ret")
LOOP(wait_counted, "1: add rdx, 1\n mov eax, [rdi]\n test eax, eax\n je 1b\n mov rax, rdx\n ret")
LOOP(wait_exchange, "1: mov eax, ecx\n xchg [rdi], al\n test al, al\n jne 1b\n ret")
LOOP(wait_compare_exchange, "1: xor eax, eax\n lock cmpxchg [rdi], ecx\n jne 1b\n ret")
LOOP(delay, "1: sub rdi, 1\n jne 1b\n ret")
LOOP(search_ints, "1: cmp [rdi], esi\n je 2f\n add rdi, 4\n cmp rdi, rdx\n jne 1b\n2: ret")
LOOP(search_text, "1: movzx eax, byte ptr [rdi+rcx]\n test al, al\n je 2f\n add rcx, 1\n jmp 1b\n2: ret")
LOOP(search_unrolled, "1: cmp [rdi], rsi\n je 2f\n cmp [rdi+8], rsi\n je 2f\n add rdi, 16\n cmp rdi, rdx\n jne 1b\n2: ret")
LOOP(chase_list, "1: mov rdi, [rdi]\n cmp rdi, rdx\n je 2f\n cmp [rdi+16], esi\n jne 1b\n2: ret")
LOOP(sum, "1: add rax, [rdi]\n add rdi, 8\n cmp rdi, rdx\n jne 1b\n ret")
LOOP(copy, "1: mov al, [rsi]\n mov [rdi], al\n add rsi, 1\n add rdi, 1\n cmp rsi, rdx\n jne 1b\n ret")
LOOP(xorshift, "1: mov rax, rdi\n shl rax, 13\n xor rdi, rax\n mov rax, rdi\n shr rax, 7\n xor rdi, rax\n sub rcx, 1\n jne 1b\n ret")
LOOP(fetch_add, "1: lock add dword ptr [rdi], 1\n sub rcx, 1\n jne 1b\n ret")
LOOP(compare_swap_update, "mov eax, [rdi]\n1: lea edx, [rax+1]\n lock cmpxchg [rdi], edx\n jne 1b\n ret")
LOOP(spilled_sum, "1: mov rax, [rbp-8]\n add rax, [rbp-16]\n mov [rbp-16], rax\n add qword ptr [rbp-8], 1\n cmp rax, rdx\n jne 1b\n ret")
LOOP(calls, "1: call rbx\n test eax, eax\n je 1b\n ret")
LOOP(vector_product, "1: vmovups ymm0, [rdi]\n vfmadd231ps ymm1, ymm0, [rsi]\n add rdi, 32\n add rsi, 32\n cmp rdi, rdx\n jne 1b\n ret")
LOOP(maximum, "1: mov eax, [rdi]\n cmp eax, ecx\n cmovg ecx, eax\n add rdi, 4\n cmp rdi, rdx\n jne 1b\n ret")
LOOP(hash_text, "1: movzx edx, byte ptr [rdi]\n imul eax, eax, 31\n add eax, edx\n add rdi, 1\n test dl, dl\n jne 1b\n ret")

std::vector<CodeLoop> loops_in(const std::uint8_t* begin, const std::uint8_t* end) {
  return find_loops({begin, end}, reinterpret_cast<std::uint64_t>(begin));
}

#define EXPECT_LOOP(name, expected)                          \
  do {                                                       \
    const auto loops = loops_in(name##_begin, name##_end);   \
    ASSERT_EQ(loops.size(), 1u) << #name;                    \
    EXPECT_EQ(loops[0].kind, LoopKind::expected) << #name;   \
  } while (false)

TEST(Loops, ThatOnlyAnotherThreadCanEndAreWaiting) {
  EXPECT_LOOP(wait_flag, waiting);
  EXPECT_LOOP(wait_byte, waiting);
  EXPECT_LOOP(wait_pause, waiting);
  EXPECT_LOOP(wait_unoptimised, waiting);
  EXPECT_LOOP(wait_counted, waiting);
  EXPECT_LOOP(wait_exchange, waiting);
  EXPECT_LOOP(wait_compare_exchange, waiting);
  EXPECT_LOOP(delay, delay);
  EXPECT_TRUE(loops_in(wait_pause_begin, wait_pause_end)[0].has_pause);
}

TEST(Loops, ThatStepThroughMemoryComparingAreSearches) {
  EXPECT_LOOP(search_ints, search);
  EXPECT_LOOP(search_text, search);
  EXPECT_LOOP(search_unrolled, search);
  EXPECT_LOOP(chase_list, chase);
}

TEST(Loops, ThatWorkAreNeither) {
  EXPECT_LOOP(sum, other);
  EXPECT_LOOP(copy, other);
  EXPECT_LOOP(xorshift, other);
  EXPECT_LOOP(fetch_add, other);
  EXPECT_LOOP(compare_swap_update, other);
  EXPECT_LOOP(spilled_sum, other);
  EXPECT_LOOP(calls, other);
  EXPECT_LOOP(vector_product, other);
  EXPECT_LOOP(maximum, other);
  EXPECT_LOOP(hash_text, other);
}

TEST(Loops, AnyBytesAreSafeInput) {
  std::uint64_t state = 88172645463325252ull;
  std::vector<std::uint8_t> bytes(64);
  for (int round = 0; round < 20000; ++round) {
    for (auto& byte : bytes) {
      state ^= state << 13, state ^= state >> 7, state ^= state << 17;
      byte = static_cast<std::uint8_t>(state);
    }
    const std::span<const std::uint8_t> code(bytes.data(), static_cast<std::size_t>(state % (bytes.size() + 1)));
    for (const CodeLoop& loop : find_loops(code, 0x1000)) {
      ASSERT_GE(loop.begin, 0x1000u);
      ASSERT_LE(loop.end, 0x1000 + code.size());
      ASSERT_LT(loop.begin, loop.end);
    }
    const auto instruction = decode_instruction(code, 0);
    ASSERT_TRUE(!instruction || instruction->length <= code.size());
  }
}

TEST(Decoder, KnowsTheLengthsOfAllForms) {
  const std::map<std::string, std::vector<std::uint8_t>> forms = {
      {"nop", {0x90}}, {"mov rax, imm64", {0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8}}, {"mov ax, imm16", {0x66, 0xb8, 1, 2}},
      {"lea with sib and disp32", {0x48, 0x8d, 0x84, 0x8a, 1, 2, 3, 4}}, {"rip-relative with imm32", {0xc7, 0x05, 1, 2, 3, 4, 5, 6, 7, 8}},
      {"base-less sib", {0x8b, 0x04, 0x25, 1, 2, 3, 4}}, {"test m, imm8", {0xf6, 0x47, 0x08, 0x01}}, {"neg", {0xf7, 0xd8}}, {"jcc rel32", {0x0f, 0x84, 1, 2, 3, 4}},
      {"endbr64", {0xf3, 0x0f, 0x1e, 0xfa}}, {"vex2", {0xc5, 0xf8, 0x77}}, {"vex3 map3 imm8", {0xc4, 0xe3, 0x7d, 0x39, 0xc1, 0x01}},
      {"evex disp8", {0x62, 0xf1, 0x7c, 0x48, 0x10, 0x47, 0x01}}, {"pshufb", {0x66, 0x0f, 0x38, 0x00, 0xc1}}, {"palignr", {0x66, 0x0f, 0x3a, 0x0f, 0xc1, 0x08}},
      {"enter", {0xc8, 1, 2, 3}}, {"movabs", {0xa1, 1, 2, 3, 4, 5, 6, 7, 8}}, {"syscall", {0x0f, 0x05}}};
  for (const auto& [name, bytes] : forms) {
    const auto instruction = decode_instruction(bytes, 0);
    ASSERT_TRUE(instruction) << name;
    EXPECT_EQ(instruction->length, bytes.size()) << name;
    for (std::size_t shorter = 0; shorter < bytes.size(); ++shorter) {
      const auto cut = decode_instruction(std::span(bytes).first(shorter), 0);
      EXPECT_TRUE(!cut || cut->length <= shorter) << name;
    }
  }
}

}  // namespace
}  // namespace tailback::analyzers
