// SPDX-License-Identifier: Apache-2.0
// Debug data of several compilers, versions and forms: inline chains with known lines, and agreement with addr2line.
#include <gmock/gmock.h>

#include <algorithm>
#include <random>

#include "tests/analyzers/model/symbols_workspace.h"

namespace tailback::analyzers {
namespace {

using testing::Contains;
using testing::ElementsAre;

constexpr std::uint64_t kBias = 0x555500000000;

struct Build {
  const char* name;
  const char* compiler;
  const char* flags;
};

class DebugData : public testing::TestWithParam<Build> {
 protected:
  void SetUp() override {
    if (!Workspace::has(GetParam().compiler)) GTEST_SKIP() << GetParam().compiler << " is not installed";
  }
  void build(const std::string& source) {
    work.write("program.cpp", source);
    work.must_run(std::string(GetParam().compiler) + " " + GetParam().flags + " -Wl,--build-id program.cpp -o program -pthread 2>&1");
    module = hand.module(work.path("program"), Workspace::build_id_of(work.path("program")), kBias);
  }
  Workspace work;
  RecordingByHand hand;
  ModuleId module = 0;
};

TEST_P(DebugData, InlineChainHasEveryFunctionAndLine) {
  build(kInlineProgram);
  const Workspace::Extent extent = work.functions("program").at(kOutermost);
  std::vector<StackId> nodes;
  for (std::uint64_t offset = 0; offset < extent.size; ++offset) nodes.push_back(hand.node(module, kBias + extent.start + offset));
  const Symbols symbols(hand.recording, {});
  std::vector<std::vector<std::string>> seen;
  for (const StackId node : nodes) {
    seen.push_back(names_and_lines(symbols, node));
    EXPECT_THAT(seen.back().back(), testing::StartsWith("area::outermost:"));
  }
  EXPECT_THAT(seen, Contains(ElementsAre("area::innermost:4", "area::middle<long>:7", "area::outermost:10")));
  EXPECT_THAT(seen, Contains(ElementsAre("area::outermost:11")));
}

constexpr const char* kLibraryProgram =
    "#include <algorithm>\n#include <map>\n#include <string>\n#include <thread>\n#include <vector>\n"
    "struct Entry { int key; std::string text; Entry(int k) : key(k), text(std::to_string(k)) {} };\n"
    "static std::vector<Entry> fill(int n) { std::vector<Entry> v; for (int i = 0; i < n; ++i) v.emplace_back(n - i); return v; }\n"
    "int main(int argc, char** argv) {\n"
    "  std::map<std::string, int> m; for (int i = 0; i < argc; ++i) m[argv[i]] += i;\n"
    "  auto v = fill(argc * 10);\n"
    "  std::sort(v.begin(), v.end(), [](const Entry& a, const Entry& b) { return a.key < b.key; });\n"
    "  std::thread t([&] { m[\"x\"] = v.front().key; }); t.join();\n"
    "  return int(m.size() + v.size());\n}\n";

struct Position {
  std::string file;
  std::uint32_t line = 0;
  bool operator==(const Position&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Position& position) { return out << position.file << ":" << position.line; }

std::string plain(const std::string& path) { return std::filesystem::path(path).lexically_normal().string(); }

// What a tool with addr2line's output says for each address.
std::map<std::uint64_t, std::vector<Position>> ask(const Workspace& work, const std::string& command,
                                                   const std::vector<std::uint64_t>& addresses) {
  std::ostringstream text;
  for (const std::uint64_t address : addresses) text << "0x" << std::hex << address << "\n";
  work.write("addresses", text.str());
  std::map<std::uint64_t, std::vector<Position>> answers;
  std::istringstream lines(work.must_run(command + " < addresses"));
  std::uint64_t current = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) continue;
    if (line.starts_with("0x")) {
      current = std::stoull(line, nullptr, 16);
      continue;
    }
    line = line.substr(0, line.find(" ("));
    const std::size_t colon = line.rfind(':');
    const std::string number = line.substr(colon + 1);
    const bool known = number.find_first_not_of("0123456789") == std::string::npos && !line.starts_with("??");
    answers[current].push_back(known ? Position{plain(line.substr(0, colon)), static_cast<std::uint32_t>(std::stoul(number))} : Position{});
  }
  return answers;
}

// Readers of debug data differ in odd corners (binutils 2.40 loses frames of clang's DWARF 5 and puts implicit members into
// the wrong file), so a place counts as wrong only when no reader at hand agrees with us.
std::vector<std::string> other_readers(bool clang) {
  std::vector<std::string> tools;
  if (Workspace::has("llvm-symbolizer-14"))
    tools.emplace_back("llvm-symbolizer-14 --output-style=GNU --inlines --functions=none --addresses --obj=program");
  if (!clang && Workspace::has("addr2line")) tools.emplace_back("addr2line -i -a -e program");
  return tools;
}

TEST_P(DebugData, AgreesWithAnotherReader) {
  build(kLibraryProgram);
  const std::vector<std::string> tools = other_readers(std::string(GetParam().compiler).starts_with("clang"));
  if (tools.empty()) GTEST_SKIP() << "no other reader is installed";
  std::vector<std::uint64_t> addresses;
  std::mt19937 random(1);
  for (const auto& [name, extent] : work.functions("program")) {
    if (!name.starts_with("_Z") && name != "main") continue;  // the rest comes from the C library's objects
    for (std::uint64_t offset = random() % 5; offset < extent.size; offset += 1 + random() % 9) addresses.push_back(extent.start + offset);
  }
  std::sort(addresses.begin(), addresses.end());
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());  // functions share code
  ASSERT_GT(addresses.size(), 100u);
  std::vector<StackId> nodes;
  for (const std::uint64_t address : addresses) nodes.push_back(hand.node(module, kBias + address));
  const Symbols symbols(hand.recording, {});
  symbols.resolve_all(nodes);
  std::vector<std::map<std::uint64_t, std::vector<Position>>> answers;
  for (const std::string& tool : tools) answers.push_back(ask(work, tool, addresses));
  std::size_t different = 0, inlined = 0;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    std::vector<Position> ours;
    for (const SymbolFrame& frame : symbols.frames(nodes[i])) ours.push_back({plain(symbols.file_name(frame.file)), frame.line});
    inlined += ours.size() > 1;
    if (std::any_of(answers.begin(), answers.end(), [&](auto& theirs) { return theirs[addresses[i]] == ours; })) continue;
    if (++different > 3) continue;
    std::cout << std::hex << addresses[i] << std::dec << ": " << testing::PrintToString(ours) << " against "
              << testing::PrintToString(answers[0][addresses[i]]) << "\n";
  }
  EXPECT_GT(inlined, addresses.size() / 4);
  EXPECT_LE(different, addresses.size() / 500) << "of " << addresses.size();
}

INSTANTIATE_TEST_SUITE_P(
    Compilers, DebugData,
    testing::Values(Build{"gcc_dwarf4", "g++", "-O2 -g -gdwarf-4"}, Build{"gcc_dwarf5", "g++", "-O2 -g -gdwarf-5"},
                    Build{"gcc_compressed", "g++", "-O2 -g -gz"}, Build{"gcc_lto", "g++", "-O2 -g -flto"},
                    Build{"gcc_sections", "g++", "-O3 -g -ffunction-sections -Wl,--gc-sections"},
                    Build{"clang_dwarf4", "clang++-14", "-O2 -g -gdwarf-4"}, Build{"clang_dwarf5", "clang++-14", "-O2 -g -gdwarf-5"}),
    [](const auto& one) { return one.param.name; });

// Names of all functions at the code of one, compiled from `source`.
std::vector<std::string> names_in(const std::string& source, const std::string& function) {
  const Workspace work;
  RecordingByHand hand;
  work.write("program.cpp", source);
  work.must_run("g++ -O2 -g program.cpp -o program 2>&1");
  const ModuleId module = hand.module(work.path("program"), "", 0);
  const Workspace::Extent extent = work.functions("program").at(function);
  std::vector<StackId> nodes;
  for (std::uint64_t offset = 0; offset < extent.size; ++offset) nodes.push_back(hand.node(module, extent.start + offset));
  const Symbols symbols(hand.recording, {});
  std::vector<std::string> names;
  for (const StackId node : nodes)
    for (const SymbolFrame& frame : symbols.frames(node)) names.push_back(symbols.function_name(frame.function));
  return names;
}

TEST(DebugDataOfLibraries, MembersWithoutALinkageNameAreQualified) {
  const auto names = names_in(
      "#include <vector>\nnamespace deep { struct Base { std::vector<int> v; virtual ~Base(); }; Base::~Base() {}\n"
      "struct Local { Base a; int n; }; }\n"
      "__attribute__((noinline)) int use(int n) { deep::Local* l = new deep::Local{{}, n}; l->a.v.resize(n); int s = l->a.v.size();"
      " delete l; return s; }\nint main(int c, char**) { return use(c); }\n",
      "_Z3usei");
  EXPECT_THAT(names, Contains("deep::Local::~Local"));
  EXPECT_THAT(names, testing::Not(Contains("~Local")));
}

TEST(DebugDataOfLibraries, InlinedLambdasAreToldFromEachOther) {
  const auto names = names_in(
      "volatile int sink;\ntemplate <class F> static void twice(F f) { f(); f(); }\nint main(int c, char**) {\n"
      "  twice([] { sink = sink * 3; });\n  twice([c] { sink = sink + c; });\n  return sink;\n}\n",
      "main");
  EXPECT_THAT(names, testing::IsSupersetOf({"{lambda at program.cpp:4}", "{lambda at program.cpp:5}"}));
}

TEST(DebugDataOfLibraries, RustNamesAreReadable) {
  if (!Workspace::has("rustc")) GTEST_SKIP() << "rustc is not installed";
  const Workspace work;
  RecordingByHand hand;
  work.write("program.rs",
             "mod area { #[inline(never)] pub fn total<T: Copy + Into<u64>>(items: &[T]) -> u64 {\n"
             "    items.iter().map(|&x| x.into()).fold(7, |a: u64, b: u64| a.rotate_left(3) ^ b)\n} }\n"
             "fn main() { let v: Vec<u32> = std::env::args().map(|a| a.len() as u32).collect(); println!(\"{}\", area::total(&v)); }\n");
  for (const char* mangling : {"", "-C symbol-mangling-version=v0"}) {
    work.must_run(std::string("rustc -O -g ") + mangling + " program.rs -o program 2>&1");
    const ModuleId module = hand.module(work.path("program"), Workspace::build_id_of(work.path("program")), 0);
    std::vector<StackId> nodes;
    for (const auto& [name, extent] : work.functions("program"))
      if (name.find("area") != std::string::npos && name.find("total") != std::string::npos)
        for (std::uint64_t offset = 0; offset < extent.size; ++offset) nodes.push_back(hand.node(module, extent.start + offset));
    ASSERT_FALSE(nodes.empty());
    const Symbols symbols(hand.recording, {});
    bool on_line_2 = false;
    for (const StackId node : nodes) {
      const SymbolFrame frame = symbols.frames(node).back();
      EXPECT_THAT(symbols.function_name(frame.function), testing::StartsWith("program::area::total"));
      EXPECT_THAT(symbols.function_name(frame.function), testing::Not(testing::ContainsRegex("h[0-9a-f]{16}")));
      on_line_2 |= frame.line == 2;
    }
    EXPECT_TRUE(on_line_2);
    hand.recording.modules.clear();
    hand.recording.nodes.resize(1);
  }
}

}  // namespace
}  // namespace tailback::analyzers
