// SPDX-License-Identifier: Apache-2.0
// The interpreter of call frame programs: tables made here byte by byte, and libc's tables damaged at random, between pages
// that may not be touched.
#include "agent/capture/cfi.h"

#include <gnu/libc-version.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <initializer_list>
#include <memory>
#include <random>
#include <vector>

#include "agent/capture/code_map.h"

namespace tailback::capture {
namespace {

using Bytes = std::vector<std::uint8_t>;

// .eh_frame_hdr and .eh_frame for one function, in a page of their own with nothing around.
class Table {
 public:
  static constexpr std::uint64_t kCode = 0x1000, kCodeBytes = 0x100;  // relative to the table

  explicit Table(const Bytes& program, const char* augmentation = "zR", const Bytes& common = {0x0c, 7, 8, 0x90, 1}) {
    memory_ = static_cast<std::uint8_t*>(mmap(nullptr, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(memory_ + 4096, 4096, PROT_READ | PROT_WRITE);
    const Bytes cie = make_cie(augmentation, common);
    const Bytes fde = make_fde(cie.size(), program);
    // The tables end where the page ends, so that reading on faults.
    const auto size = 20 + cie.size() + fde.size();
    base_ = memory_ + 8192 - size;
    Bytes header{1, 0x1b, 0x03, 0x3b};
    put32(header, 16);  // .eh_frame follows the table of one entry
    put32(header, 1);
    put32(header, static_cast<std::uint32_t>(kCode));
    put32(header, static_cast<std::uint32_t>(20 + cie.size()));
    std::memcpy(base_, header.data(), 20);
    std::memcpy(base_ + 20, cie.data(), cie.size());
    std::memcpy(base_ + 20 + cie.size(), fde.data(), fde.size());
    size_ = size;
  }
  ~Table() { munmap(memory_, 3 * 4096); }
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  UnwindTable table() const {
    const auto at = reinterpret_cast<std::uint64_t>(base_);
    return {at, at + size_, at, at + size_};
  }
  std::uint64_t code(std::uint64_t offset) const { return reinterpret_cast<std::uint64_t>(base_) + kCode + offset; }
  Rule rule(std::uint64_t offset) {
    auto work = std::make_unique<CfiWorkspace>();
    return find_rule(table(), code(offset), *work);
  }
  std::uint8_t* begin() { return base_; }
  std::size_t size() const { return size_; }

 private:
  static void put32(Bytes& bytes, std::uint32_t value) {
    for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  }
  static void append(Bytes& bytes, const Bytes& more) { bytes.insert(bytes.end(), more.begin(), more.end()); }

  static Bytes sized(Bytes body) {
    while (body.size() % 4) body.push_back(0);
    Bytes record;
    put32(record, static_cast<std::uint32_t>(body.size()));
    append(record, body);
    return record;
  }

  static Bytes make_cie(const char* augmentation, const Bytes& common) {
    Bytes body;
    put32(body, 0);
    body.push_back(1);
    for (const char* letter = augmentation; *letter; ++letter) body.push_back(static_cast<std::uint8_t>(*letter));
    append(body, {0, 1, 0x78, 16, 1, 0x1b});  // code align 1, data align -8, return address 16, one byte of data: pcrel sdata4
    append(body, common);
    return sized(body);
  }

  static Bytes make_fde(std::size_t cie_bytes, const Bytes& program) {
    Bytes body;
    put32(body, static_cast<std::uint32_t>(cie_bytes + 4));
    put32(body, static_cast<std::uint32_t>(kCode - (20 + cie_bytes + 8)));
    put32(body, kCodeBytes);
    body.push_back(0);
    append(body, program);
    return sized(body);
  }

  std::uint8_t *memory_, *base_;
  std::size_t size_;
};

void expect_rule(const Rule& rule, RuleKind kind, std::int32_t cfa, std::int16_t bp_slot, std::uint8_t flags, std::uint8_t bx_slot = 0) {
  EXPECT_EQ(rule.kind(), kind);
  EXPECT_EQ(rule.cfa, cfa);
  EXPECT_EQ(rule.bp_slot, bp_slot);
  EXPECT_EQ(rule.flags(), flags);
  EXPECT_EQ(rule.bx_slot, bx_slot);
}

TEST(Cfi, PrologueAndEpilogue) {
  // push rbp; mov rbp, rsp; push rbx; ... ; remembered over a return in the middle
  Table table({0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x02, 0x10, 0x83, 3, 0x0a, 0x03, 0x20, 0x00, 0xc3, 0xc6, 0x0c, 7, 8, 0x41, 0x0b});
  expect_rule(table.rule(0), RuleKind::rsp, 8, 0, 0);
  expect_rule(table.rule(1), RuleKind::rsp, 16, -16, Rule::kBpSaved);
  expect_rule(table.rule(4), RuleKind::rbp, 16, -16, Rule::kBpSaved);
  expect_rule(table.rule(0x14), RuleKind::rbp, 16, -16, Rule::kBpSaved, 3);
  expect_rule(table.rule(0x34), RuleKind::rsp, 8, 0, 0);
  expect_rule(table.rule(0x35), RuleKind::rbp, 16, -16, Rule::kBpSaved, 3);
  expect_rule(table.rule(Table::kCodeBytes - 1), RuleKind::rbp, 16, -16, Rule::kBpSaved, 3);
  EXPECT_EQ(table.rule(Table::kCodeBytes).kind(), RuleKind::none);
  EXPECT_EQ(table.rule(static_cast<std::uint64_t>(-1)).kind(), RuleKind::none);
}

TEST(Cfi, RowsHaveBounds) {
  Table table({0x44, 0x0e, 16, 0x48, 0x0e, 32});
  auto work = std::make_unique<CfiWorkspace>();
  find_rule(table.table(), table.code(6), *work);
  EXPECT_EQ(work->row_start, table.code(4));
  EXPECT_EQ(work->row_end, table.code(12));
}

TEST(Cfi, SignedAndExtendedForms) {
  // def_cfa_sf rsp -2*-8; offset_extended_sf rbp 2*-8; GNU_negative_offset_extended rbx; args_size; advance_loc4; set_loc is pcrel
  Table table({0x12, 7, 0x7e, 0x11, 6, 2, 0x2f, 3, 0x7d, 0x2e, 100, 0x04, 4, 0, 0, 0, 0x13, 0x7c, 0x05, 6, 4});
  expect_rule(table.rule(0), RuleKind::rsp, 16, -16, Rule::kBpSaved, Rule::kBxLost);
  expect_rule(table.rule(4), RuleKind::rsp, 32, -32, Rule::kBpSaved, Rule::kBxLost);
}

TEST(Cfi, RealignedStacks) {
  // CFA = *(rbp - 8), bp saved at *rbp, bx at rbp - 24
  Table table({0x0f, 3, 0x76, 0x78, 0x06, 0x10, 6, 2, 0x76, 0, 0x10, 3, 2, 0x76, 0x68});
  const auto rule = table.rule(0);
  EXPECT_EQ(rule.kind(), RuleKind::deref_rbp);
  EXPECT_EQ(rule.inner(), -8);
  EXPECT_EQ(rule.outer(), 0);
  EXPECT_EQ(rule.bp_slot, 0);
  EXPECT_EQ(rule.flags(), Rule::kBpSaved | Rule::kBpFromBp | Rule::kBxFromBp);
  EXPECT_EQ(rule.bx_slot, 3);
}

TEST(Cfi, EntryStackPointerKeptInMemory) {
  // CFA = *(rsp + 152) + 8, as hand-written assembly keeps it
  Table table({0x0f, 6, 0x77, 0x98, 0x01, 0x06, 0x23, 8});
  const auto rule = table.rule(0);
  EXPECT_EQ(rule.kind(), RuleKind::deref_rsp);
  EXPECT_EQ(rule.inner(), 152);
  EXPECT_EQ(rule.outer(), 8);
}

// The linker's expressions: 8 more once the stub's last pushes have run, told by the pc's place in its 16 bytes.
TEST(Cfi, LazyProcedureLinkageTables) {
  for (const unsigned threshold : {5u, 9u, 10u, 11u}) {
    Table table({0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, static_cast<std::uint8_t>(0x30 + threshold), 0x2a, 0x33, 0x24, 0x22});
    for (std::uint64_t offset = 0; offset < 64; ++offset) {
      const auto rule = table.rule(offset);
      EXPECT_EQ(rule.kind(), RuleKind::rsp);
      EXPECT_EQ(rule.cfa, (table.code(offset) & 15) >= threshold ? 16 : 8);
    }
  }
}

TEST(Cfi, OtherRegistersRootsAndSignalFrames) {
  expect_rule(Table({0x0c, 10, 0}).rule(0), RuleKind::other, 0, 0, 0, 2);  // r10, third in the context
  expect_rule(Table({0x0c, 3, 16}).rule(0), RuleKind::rbx, 16, 0, 0);
  EXPECT_EQ(Table({0x07, 16}).rule(0).kind(), RuleKind::end);
  EXPECT_EQ(Table({}, "zRS").rule(0).kind(), RuleKind::sigreturn);
}

TEST(Cfi, WhatIsNotUnderstoodStops) {
  EXPECT_EQ(Table({0x3f}).rule(0).kind(), RuleKind::stop);                    // unknown operation
  EXPECT_EQ(Table({0x0b}).rule(0).kind(), RuleKind::stop);                    // restores what was never remembered
  EXPECT_EQ(Table({0x09, 16, 1}).rule(0).kind(), RuleKind::stop);             // return address in a register
  EXPECT_EQ(Table({0x14, 6, 2}).rule(0).kind(), RuleKind::stop);              // bp is a computed value
  EXPECT_EQ(Table({0x90, 2}).rule(0).kind(), RuleKind::stop);                 // return address elsewhere
  EXPECT_EQ(Table({0x0f, 2, 0x72, 0}).rule(0).kind(), RuleKind::other);       // an expression of one register alone
  EXPECT_EQ(Table({0x0f, 3, 0x72, 0, 0x06}).rule(0).kind(), RuleKind::stop);  // memory that another register points to
  EXPECT_EQ(Table({0x0f, 1, 0x06}).rule(0).kind(), RuleKind::stop);           // an expression without operands
  EXPECT_EQ(Table({0x0f, 0x7f, 0x77, 0}).rule(0).kind(), RuleKind::stop);     // longer than the program
  EXPECT_EQ(Table(Bytes(20, 0x0a)).rule(0).kind(), RuleKind::stop);           // remembers too much
  EXPECT_EQ(Table({0x0e, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}).rule(0).kind(), RuleKind::stop);
  EXPECT_EQ(Table({}, "eh").rule(0).kind(), RuleKind::none);
  EXPECT_EQ(Table({}, "zR", {}).rule(0).kind(), RuleKind::stop);              // a CIE that defines no CFA
}

TEST(Cfi, AnyBytesAreSurvived) {
  std::mt19937_64 random(1);
  unsigned kinds[16] = {};
  for (int round = 0; round < 20'000; ++round) {
    Bytes program(random() % 24);
    for (auto& byte : program) byte = static_cast<std::uint8_t>(random());
    Table table(program);
    for (int damage = static_cast<int>(random() % 4); damage > 0; --damage) table.begin()[random() % table.size()] = static_cast<std::uint8_t>(random());
    for (const std::uint64_t offset : {0, 7, 100}) ++kinds[static_cast<unsigned>(table.rule(offset).kind())];
  }
  EXPECT_GT(kinds[static_cast<unsigned>(RuleKind::stop)], 100u);
  EXPECT_GT(kinds[static_cast<unsigned>(RuleKind::none)], 100u);
  EXPECT_GT(kinds[static_cast<unsigned>(RuleKind::rsp)], 100u);
}

// libc's own tables, copied between guard pages and damaged: whatever comes out, nothing outside is read.
TEST(Cfi, DamagedTablesOfLibcAreSurvived) {
  CodeMap map;
  ASSERT_TRUE(map.init("program"));
  const auto* libc = map.find(reinterpret_cast<std::uint64_t>(&gnu_get_libc_version));
  ASSERT_NE(libc, nullptr);
  const auto low = libc->unwind.frames_low, bytes = libc->unwind.frames_high - low;
  ASSERT_EQ(low & 4095, 0u);
  const auto room = (bytes + 4095) & ~4095ull;
  auto* memory = static_cast<std::uint8_t*>(mmap(nullptr, room + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_EQ(mprotect(memory + 4096, room, PROT_READ | PROT_WRITE), 0);
  auto* copy = memory + 4096 + (room - bytes);
  std::memcpy(copy, reinterpret_cast<const void*>(low), bytes);
  const auto base = reinterpret_cast<std::uint64_t>(copy);
  const UnwindTable table{libc->unwind.header - low + base, base + bytes, base, base + bytes};
  std::mt19937_64 random(2);
  auto work = std::make_unique<CfiWorkspace>();
  const auto code = libc->start - low + base;  // pcrel tables moved with the copy
  std::uint64_t found = 0, functions = fde_count(table);
  EXPECT_GT(functions, 1000u);
  for (int round = 0; round < 300'000; ++round) {
    if (round % 3000 == 0) std::memcpy(copy, reinterpret_cast<const void*>(low), bytes);  // damage to the header ends everything
    if (round % 3000 > 100) copy[random() % bytes] = static_cast<std::uint8_t>(random());
    const auto rule = find_rule(table, code + random() % (libc->end - libc->start), *work);
    found += rule.kind() == RuleKind::rsp;
    if (fde_at(table, random() % functions, work->fde)) interpret(table, work->fde.start + random() % (work->fde.size + 1), *work);
  }
  EXPECT_GT(found, 10'000u);
  munmap(memory, room + 8192);
}

}  // namespace
}  // namespace tailback::capture
