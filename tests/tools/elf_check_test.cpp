// SPDX-License-Identifier: Apache-2.0
// What the launcher says about programs before it starts them, on ELF files made for the purpose and on real ones.
#include <elf.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "tools/elf_check/program_check.h"

namespace tailback::tools {
namespace {

namespace files = std::filesystem;

class ProgramCheckTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/tailback-elf-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    folder_ = path;
    path_before_ = ::getenv("PATH");
  }
  void TearDown() override {
    ::setenv("PATH", path_before_.c_str(), 1);
    files::remove_all(folder_);
  }
  std::string write(const std::string& name, const std::string& content, mode_t mode = 0755) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    ::chmod(path.c_str(), mode);
    return path;
  }
  static std::string first_remark(const ProgramCheck& check) { return check.remarks.empty() ? "" : check.remarks[0].what; }

  std::string folder_, path_before_;
};

struct ElfPlan {
  std::string interpreter;  // empty: none
  bool go_note = false;
  std::uint16_t machine = EM_X86_64;
};

std::string elf_image(const ElfPlan& plan) {
  std::string note;
  if (plan.go_note) {
    const Elf64_Nhdr head{4, 4, 4};
    note.assign(reinterpret_cast<const char*>(&head), sizeof head);
    note += std::string("Go\0\0", 4) + "abcd";
  }
  const std::size_t segments = (plan.interpreter.empty() ? 0 : 1) + (plan.go_note ? 1 : 0);
  const std::size_t data = sizeof(Elf64_Ehdr) + segments * sizeof(Elf64_Phdr);
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_EXEC;
  header.e_machine = plan.machine;
  header.e_version = EV_CURRENT;
  header.e_ehsize = sizeof header;
  header.e_phoff = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = static_cast<Elf64_Half>(segments);
  std::string image(reinterpret_cast<const char*>(&header), sizeof header);
  std::size_t offset = data;
  const auto add = [&](std::uint32_t type, std::size_t size) {
    Elf64_Phdr segment{};
    segment.p_type = type;
    segment.p_offset = offset;
    segment.p_filesz = segment.p_memsz = size;
    segment.p_align = 4;
    image.append(reinterpret_cast<const char*>(&segment), sizeof segment);
    offset += size;
  };
  if (plan.go_note) add(PT_NOTE, note.size());
  if (!plan.interpreter.empty()) add(PT_INTERP, plan.interpreter.size() + 1);
  image += note;
  if (!plan.interpreter.empty()) image += plan.interpreter + '\0';
  return image;
}

TEST_F(ProgramCheckTest, OrdinaryProgram) {
  const ProgramCheck check = check_program("ls");
  EXPECT_EQ(check.not_executable, 0);
  EXPECT_FALSE(check.drops_preload) << first_remark(check);
  EXPECT_TRUE(check.elf.is_this_machine);
  EXPECT_EQ(check.elf.build_id.size(), 40u);
  EXPECT_TRUE(check.elf.has_unwind_table);
  EXPECT_FALSE(check.elf.needed.empty());
}

TEST_F(ProgramCheckTest, ThisTestHasDebugInformation) {
  const ElfFacts facts = read_elf("/proc/self/exe");
  EXPECT_TRUE(facts.has_symtab);
  EXPECT_TRUE(facts.has_debug_info);
}

TEST_F(ProgramCheckTest, NotFoundAndNotExecutable) {
  EXPECT_EQ(check_program("no-such-program-anywhere").found, "");
  EXPECT_EQ(check_program(folder_ + "/missing").found, "");
  EXPECT_EQ(check_program(write("text", "x", 0644)).not_executable, EACCES);
  EXPECT_EQ(check_program(folder_).not_executable, EISDIR);
  EXPECT_EQ(check_program("").found, "");
}

TEST_F(ProgramCheckTest, PathIsSearchedAsAShellDoes) {
  write("tool", "x", 0644);
  files::create_directory(folder_ + "/second");
  const std::string good = write("second/tool", elf_image({"/lib64/ld-linux-x86-64.so.2"}));
  ::setenv("PATH", (folder_ + ":" + folder_ + "/second").c_str(), 1);
  EXPECT_EQ(check_program("tool").found, good);
  ::setenv("PATH", folder_.c_str(), 1);
  EXPECT_EQ(check_program("tool").not_executable, EACCES);
}

TEST_F(ProgramCheckTest, WhatCannotBePreloaded) {
  const auto remark = [&](const ElfPlan& plan) {
    const ProgramCheck check = check_program(write("p", elf_image(plan)));
    EXPECT_TRUE(check.drops_preload);
    EXPECT_FALSE(check.remarks.at(0).remedy.empty());
    return check.remarks.at(0).what;
  };
  EXPECT_NE(remark({""}).find("statically linked"), std::string::npos);
  EXPECT_NE(remark({"", true}).find("Go program without cgo"), std::string::npos);
  EXPECT_NE(remark({"/lib/ld-musl-x86_64.so.1"}).find("musl"), std::string::npos);
  EXPECT_NE(remark({"/lib/other-loader.so"}).find("not glibc"), std::string::npos);
  EXPECT_NE(remark({"/lib64/ld-linux-x86-64.so.2", false, EM_RISCV}).find("riscv"), std::string::npos);
}

TEST_F(ProgramCheckTest, ThirtyTwoBit) {
  std::string image = elf_image({"/lib/ld-linux.so.2"});
  Elf32_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS32;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_EXEC;
  header.e_machine = EM_386;
  header.e_version = EV_CURRENT;
  header.e_ehsize = sizeof header;
  const ProgramCheck check = check_program(write("p", std::string(reinterpret_cast<const char*>(&header), sizeof header)));
  EXPECT_TRUE(check.drops_preload);
  EXPECT_NE(first_remark(check).find("32-bit (i386)"), std::string::npos) << first_remark(check);
}

TEST_F(ProgramCheckTest, GoWithCgoIsRecorded) {
  const ProgramCheck check = check_program(write("p", elf_image({"/lib64/ld-linux-x86-64.so.2", true})));
  EXPECT_FALSE(check.drops_preload);
  EXPECT_NE(first_remark(check).find("goroutines"), std::string::npos);
}

TEST_F(ProgramCheckTest, SetuidOfAnotherUser) {
  if (::getuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const std::string path = write("p", elf_image({"/lib64/ld-linux-x86-64.so.2"}));
  ASSERT_EQ(::chown(path.c_str(), 65534, 65534), 0);
  ASSERT_EQ(::chmod(path.c_str(), 04755), 0);
  const ProgramCheck check = check_program(path);
  EXPECT_TRUE(check.secure_mode && check.drops_preload);
  ASSERT_EQ(::chmod(path.c_str(), 0755), 0);
  EXPECT_FALSE(check_program(path).secure_mode);
}

TEST_F(ProgramCheckTest, ScriptsLeadToTheirInterpreter) {
  const std::string real = write("interpreter", elf_image({"/lib64/ld-linux-x86-64.so.2"}));
  const std::string direct = write("a", "#!" + real + " -x\n");
  EXPECT_EQ(check_program(direct).image, real);
  EXPECT_EQ(check_program(write("b", "#! " + direct + "\n")).image, real);
  ::setenv("PATH", folder_.c_str(), 1);
  EXPECT_EQ(check_program(write("c", "#!/usr/bin/env -S A=1 interpreter -u\n")).image, real);
  EXPECT_EQ(check_program(write("d", "echo no hash-bang\n")).image, "/bin/sh");
  const ProgramCheck loop = check_program(write("e", "#!" + folder_ + "/e\n"));
  EXPECT_TRUE(loop.drops_preload);
}

TEST_F(ProgramCheckTest, DamagedFilesAreNoTrap) {
  const std::string good = elf_image({"/lib64/ld-linux-x86-64.so.2", true});
  unsigned state = 7;
  const auto next = [&] { return state = state * 1664525 + 1013904223; };
  for (int round = 0; round < 300; ++round) {
    std::string image = good;
    for (int i = 0; i < 6; ++i) image[next() % image.size()] = static_cast<char>(next() >> 24);
    if (round % 3 == 0) image.resize(next() % image.size());
    check_program(write("p", image));
  }
}

TEST_F(ProgramCheckTest, SanitizersAreNamed) {
  const std::string source = write("s.c", "int main(void) { return 0; }\n", 0644), out = folder_ + "/s";
  ASSERT_EQ(std::system(("cc -fsanitize=address -o " + out + " " + source).c_str()), 0);
  const ProgramCheck check = check_program(out);
  EXPECT_FALSE(check.drops_preload);
  EXPECT_EQ(check.elf.sanitizer, "AddressSanitizer");
  ASSERT_EQ(std::system(("cc -static -o " + out + " " + source).c_str()), 0);
  EXPECT_TRUE(check_program(out).drops_preload);
}

}  // namespace
}  // namespace tailback::tools
