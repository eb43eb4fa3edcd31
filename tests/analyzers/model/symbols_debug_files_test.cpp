// SPDX-License-Identifier: Apache-2.0
// Separate debug files (build id, debug link, shared dwz data, debuginfod), symbol tables, PLT stubs, unwind ranges: each found
// where it should be, and refused where it does not belong to the module.
#include <gmock/gmock.h>

#include "analyzers/model/symbols/debug_files.h"
#include "analyzers/model/symbols/eh_frame.h"
#include "analyzers/model/symbols/symbol_notes.h"
#include "tests/analyzers/model/symbols_workspace.h"

namespace tailback::analyzers {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

class StrippedProgram : public testing::Test {
 protected:
  void SetUp() override { compile(kInlineProgram, "-O2 -g"); }
  void compile(const std::string& source, const std::string& flags) {
    work.write("program.cpp", source);
    work.must_run("g++ " + flags + " -Wl,--build-id program.cpp -o whole 2>&1");
    work.must_run("objcopy --only-keep-debug whole program.debug && objcopy --strip-all whole program 2>&1");
    functions = work.functions("whole");
    build_id = Workspace::build_id_of(work.path("whole"));
    hand = RecordingByHand();
    module = hand.module(work.path("program"), build_id, 0);
    node = hand.node(module, functions.at(kHidden).start + 1);
  }
  std::vector<std::string> resolve(const SymbolOptions& options = {}) { return names_and_lines(Symbols(hand.recording, options), node); }
  SymbolOptions with(const std::string& folder) { return {{work.path(folder)}, false}; }
  std::string store() const { return ".build-id/" + build_id.substr(0, 2) + "/" + build_id.substr(2) + ".debug"; }

  Workspace work;
  RecordingByHand hand;
  std::map<std::string, Workspace::Extent> functions;
  std::string build_id;
  ModuleId module = 0;
  StackId node = 0;
  static constexpr const char* kFound = "area::(anonymous namespace)::hidden:13";
};

TEST_F(StrippedProgram, WithoutDebugFileTheUnwindRangeNamesTheFunction) {
  char expected[64];
  snprintf(expected, sizeof expected, "program+0x%llx:0", static_cast<unsigned long long>(functions.at(kHidden).start));
  EXPECT_THAT(resolve(), ElementsAre(expected));
  const Symbols symbols(hand.recording, {});
  symbols.frames(node);
  EXPECT_THAT(symbols.notes(), ElementsAre(HasSubstr("build it with -g")));
}

TEST_F(StrippedProgram, FoundByBuildId) {
  work.must_run("mkdir -p store/" + store().substr(0, 12) + " && cp program.debug store/" + store());
  EXPECT_THAT(resolve(with("store")), ElementsAre(kFound));
}

TEST_F(StrippedProgram, FoundByBuildIdWhereTheModuleIsGone) {
  work.must_run("mkdir -p store/" + store().substr(0, 12) + " && mv program.debug store/" + store() + " && rm program");
  EXPECT_THAT(resolve(with("store")), ElementsAre(kFound));
}

TEST_F(StrippedProgram, WholeCopyInAFolderServes) {
  work.must_run("mkdir copies && mv whole copies/program && rm program");
  EXPECT_THAT(resolve(with("copies")), ElementsAre(kFound));
}

TEST_F(StrippedProgram, FoundByDebugLinkBesideAndInSubfolder) {
  work.must_run("objcopy --add-gnu-debuglink=program.debug program");
  EXPECT_THAT(resolve(), ElementsAre(kFound));
  work.must_run("mkdir .debug && mv program.debug .debug/");
  EXPECT_THAT(resolve(), ElementsAre(kFound));
  work.must_run("mkdir -p store" + work.path("") + " && mv .debug/program.debug store" + work.path(""));
  EXPECT_THAT(resolve(with("store")), ElementsAre(kFound));
}

TEST_F(StrippedProgram, DebugFileOfAnotherBuildIsRefused) {
  const std::string right_store = store();
  work.must_run("objcopy --add-gnu-debuglink=program.debug program && cp program wanted");
  const std::string wanted = build_id;
  compile(std::string(kInlineProgram) + "int unused() { return 1; }\n", "-O2 -g");
  ASSERT_NE(build_id, wanted);
  work.must_run("mv wanted program && mkdir -p store/" + right_store.substr(0, 12) + " && cp program.debug store/" + right_store);
  hand.recording.modules[0].build_id = wanted;
  EXPECT_THAT(resolve(with("store")), ElementsAre(testing::StartsWith("program+0x")));
}

TEST_F(StrippedProgram, WithoutBuildIdsTheChecksumDecides) {
  work.must_run("objcopy -R .note.gnu.build-id whole && objcopy --only-keep-debug whole program.debug && "
                "objcopy --strip-all whole program && objcopy --add-gnu-debuglink=program.debug program 2>&1");
  hand.recording.modules[0].build_id.clear();
  EXPECT_THAT(resolve(), ElementsAre(kFound));
  work.must_run("printf x >> program.debug");
  EXPECT_THAT(resolve(), ElementsAre(testing::StartsWith("program+0x")));
}

TEST_F(StrippedProgram, SymbolTableAloneNamesWithoutLines) {
  work.must_run("cp whole program && strip --strip-debug program");
  EXPECT_THAT(resolve(), ElementsAre("area::(anonymous namespace)::hidden:0"));
}

TEST_F(StrippedProgram, SharedDwzDataIsFollowed) {
  if (!Workspace::has("dwz")) GTEST_SKIP() << "dwz is not installed";
  // Enough of the library that there are whole entries to share, not only texts.
  const std::string more = "#include <map>\n#include <string>\nint more(int n) { std::map<std::string, int> m; m[\"x\"] = n; return m.size(); }\n";
  compile(kInlineProgram + more, "-O2 -g -gdwarf-4");
  work.write("second.cpp", kInlineProgram + more + "int other() { return 2; }\n");
  work.must_run("g++ -O2 -g -gdwarf-4 second.cpp -o second && objcopy --only-keep-debug second second.debug && mkdir -p deep/.dwz && "
                "cp program.debug second.debug deep && cd deep && dwz -q -m .dwz/shared -M .dwz/shared program.debug second.debug 2>&1");
  ASSERT_NE(work.must_run("readelf -S -W deep/program.debug").find(".gnu_debugaltlink"), std::string::npos);
  node = hand.node(module, functions.at(kOutermost).start + functions.at(kOutermost).size - 1);
  EXPECT_THAT(resolve(with("deep")), ElementsAre("area::outermost:12"));
  std::vector<std::string> all;
  for (std::uint64_t offset = 0; offset < functions.at(kOutermost).size; ++offset) {
    node = hand.node(module, functions.at(kOutermost).start + offset);
    for (const std::string& frame : resolve(with("deep"))) all.push_back(frame);
  }
  EXPECT_THAT(all, testing::IsSupersetOf({"area::innermost:4", "area::middle<long>:7", "area::outermost:10"}));
  work.must_run("rm -r deep/.dwz");
  EXPECT_FALSE(resolve(with("deep")).empty()) << "the shared file may be missing";
}

TEST_F(StrippedProgram, DebuginfodIsAskedOnlyWhenSwitchedOnAndConfigured) {
  if (!Workspace::has("debuginfod-find") && access("/usr/lib/x86_64-linux-gnu/libdebuginfod.so.1", R_OK) != 0)
    GTEST_SKIP() << "no debuginfod client";
  work.must_run("mkdir -p server/buildid/" + build_id + " && mv program.debug server/buildid/" + build_id + "/debuginfo && mkdir cache");
  setenv("DEBUGINFOD_CACHE_PATH", work.path("cache").c_str(), 1);
  unsetenv("DEBUGINFOD_URLS");
  SymbolOptions on;
  on.use_debuginfod = true;
  EXPECT_THAT(resolve(on), ElementsAre(testing::StartsWith("program+0x"))) << "no server is configured";
  setenv("DEBUGINFOD_URLS", ("file://" + work.path("server")).c_str(), 1);
  EXPECT_THAT(resolve(), ElementsAre(testing::StartsWith("program+0x"))) << "not switched on";
  EXPECT_THAT(work.must_run("ls cache"), "");
  std::filesystem::remove_all(work.path("cache"));
  EXPECT_THAT(resolve(on), ElementsAre(kFound));
  unsetenv("DEBUGINFOD_URLS");
}

TEST_F(StrippedProgram, PltStubsCarryTheirTarget) {
  for (const char* flags : {"-O2 -g -Wl,-z,lazy", "-O2 -g -Wl,-z,now", "-O2 -g -fcf-protection -Wl,-z,ibtplt"}) {
    compile(std::string(kInlineProgram) + "#include <cstdlib>\nvoid use() { std::srand(std::atoi(std::getenv(\"X\"))); }\n", flags);
    std::vector<std::string> names;
    const auto elf = ElfFile::open(work.path("program"));
    ASSERT_TRUE(elf);
    std::vector<StackId> stubs;
    for (const ElfSection& section : elf->sections())
      if (section.name.starts_with(".plt"))
        for (std::uint64_t offset = 0; offset < section.size; offset += 8) stubs.push_back(hand.node(module, section.address + offset));
    const Symbols symbols(hand.recording, {});
    for (const StackId stub : stubs) names.push_back(symbols.function_name(symbols.frames(stub)[0].function));
    EXPECT_THAT(names, testing::IsSupersetOf({"getenv@plt", "srand@plt"})) << flags;
  }
}

TEST_F(StrippedProgram, VtablesAreFoundInTheDataSymbols) {
  compile(std::string("struct Shape { virtual ~Shape(); virtual int area() { return 1; } };\nShape::~Shape() {}\nShape shape;\n") +
              kInlineProgram, "-O2 -g");
  work.must_run("cp whole program");
  std::istringstream line(work.must_run("nm -S whole | grep _ZTV5Shape"));
  std::string start;
  line >> start;
  const Symbols symbols(hand.recording, {});
  EXPECT_EQ(symbols.data_symbol(std::stoull(start, nullptr, 16) + 16), "vtable for Shape");
  EXPECT_EQ(symbols.data_symbol(functions.at(kHidden).start), "");
}

TEST(UnwindRanges, AgreeWithTheSymbolTable) {
  const Workspace work;
  work.write("program.cpp", kInlineProgram);
  work.must_run("g++ -O2 program.cpp -o program 2>&1");
  const auto elf = ElfFile::open(work.path("program"));
  ASSERT_TRUE(elf);
  const auto functions = work.functions("program");
  for (const char* name : {kOutermost, kHidden, "main"}) {
    const Workspace::Extent extent = functions.at(name);
    for (const std::uint64_t offset : {std::uint64_t{0}, extent.size - 1}) {
      const auto range = unwind_range(*elf, extent.start + offset);
      ASSERT_TRUE(range) << name;
      EXPECT_EQ(range->start, extent.start);
      EXPECT_EQ(range->end, extent.start + extent.size);
    }
  }
  EXPECT_FALSE(unwind_range(*elf, 0));
  EXPECT_FALSE(unwind_range(*elf, UINT64_MAX));
}

TEST(DebugLink, ChecksumIsTheStandardOne) {
  const std::string text = "123456789";
  EXPECT_EQ(debuglink_crc({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}), 0xcbf43926u);
}

TEST(SymbolTables, AliasesAndSizesDecideTheName) {
  const Workspace work;
  work.write("table.s",
             "\t.text\n\t.globl __inner_work\n\t.type __inner_work, @function\n__inner_work:\n\t.globl work\n\t.type work, @function\nwork:\n"
             "\t.type local_alias, @function\nlocal_alias:\n\tnop\n\tnop\n\t.size __inner_work, 2\n\t.size work, 2\n\t.size local_alias, 2\n"
             "\t.zero 14\n\t.globl label\nlabel:\n\tnop\n\tnop\n\t.zero 14\n\t.globl framed\nframed:\n\t.cfi_startproc\n\tnop\n\tnop\n\tnop\n\t.cfi_endproc\n\t.zero 5\n");
  work.must_run("gcc -shared -nostdlib table.s -o table.so 2>&1");
  RecordingByHand hand;
  const ModuleId module = hand.module(work.path("table.so"), Workspace::build_id_of(work.path("table.so")), 0);
  const std::string listing = work.must_run("nm table.so | grep work");
  std::uint64_t base = std::stoull(listing.substr(0, 16), nullptr, 16);
  const auto name_at = [&](std::uint64_t offset) {
    const StackId node = hand.node(module, base + offset);
    const Symbols symbols(hand.recording, {});
    return symbols.function_name(symbols.frames(node)[0].function);
  };
  EXPECT_EQ(name_at(0), "work");
  EXPECT_EQ(name_at(1), "work");
  EXPECT_THAT(name_at(2), testing::StartsWith("table.so+0x")) << "behind the symbol's size";
  EXPECT_EQ(name_at(16), "label") << "a label without size names its own address";
  EXPECT_THAT(name_at(17), testing::StartsWith("table.so+0x")) << "and no other";
  EXPECT_EQ(name_at(32), "framed");
  EXPECT_EQ(name_at(34), "framed") << "the unwind range that begins at the label";
  EXPECT_THAT(name_at(35), testing::StartsWith("table.so+0x"));
}

TEST(SystemLibraries, CompressedDebugFileOfTheCLibraryServes) {
  const char* path = "/lib/x86_64-linux-gnu/libc.so.6";
  const auto elf = ElfFile::open(path);
  if (!elf || elf->build_id().empty()) GTEST_SKIP() << "no such C library";
  const std::string id = elf->build_id();
  if (access(("/usr/lib/debug/.build-id/" + id.substr(0, 2) + "/" + id.substr(2) + ".debug").c_str(), R_OK) != 0)
    GTEST_SKIP() << "libc6-dbg is not installed";
  Workspace work;
  std::istringstream line(work.must_run(std::string("nm -D -S ") + path + " | grep \" qsort@\""));
  std::string start;
  line >> start;
  RecordingByHand hand;
  const StackId node = hand.node(hand.module(path, id, 0), std::stoull(start, nullptr, 16));
  const Symbols symbols(hand.recording, {});
  EXPECT_EQ(symbols.function_name(symbols.frames(node).back().function), "qsort");
  EXPECT_THAT(symbols.file_name(symbols.frames(node)[0].file), testing::EndsWith("stdlib/msort.c"));
  EXPECT_GT(symbols.frames(node)[0].line, 0u);
}

TEST(SymbolNotes, NameThePackageOfTheModule) {
  if (!Workspace::has("dpkg-query")) GTEST_SKIP() << "no dpkg";
  const auto packages = owning_packages({"/bin/sh", "/nowhere/at-all"});
  EXPECT_EQ(packages.count("/nowhere/at-all"), 0u);
  EXPECT_THAT(packages, Contains(testing::Key("/bin/sh")));
  MissingSymbols missing{"/bin/sh", "00ff", {true, false, false, false}, 3, 0.25};
  EXPECT_THAT(missing_symbol_notes({missing}), ElementsAre(testing::AllOf(HasSubstr("25.0 %"), HasSubstr("-dbgsym"))));
}

}  // namespace
}  // namespace tailback::analyzers
