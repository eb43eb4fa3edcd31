// SPDX-License-Identifier: Apache-2.0
// The order of sources and the tables of Symbols, on recordings built by hand.
#include "analyzers/model/symbols.h"

#include <gmock/gmock.h>

#include <thread>

#include "tests/analyzers/model/symbols_workspace.h"

namespace tailback::analyzers {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::uint64_t kBias = 0x7f1234560000;

class SymbolsOfAProgram : public testing::Test {
 protected:
  void SetUp() override {
    work.write("program.cpp", kInlineProgram);
    work.must_run("g++ -O2 -g -Wl,--build-id program.cpp -o program 2>&1");
    functions = work.functions("program");
    build_id = Workspace::build_id_of(work.path("program"));
  }
  ModuleId program(const std::string& id) { return hand.module(work.path("program"), id, kBias); }
  StackId inside(ModuleId module, const char* function, std::uint64_t offset = 0) {
    return hand.node(module, kBias + functions.at(function).start + offset);
  }

  Workspace work;
  RecordingByHand hand;
  std::map<std::string, Workspace::Extent> functions;
  std::string build_id;
};

TEST_F(SymbolsOfAProgram, NamesAreInThreeForms) {
  const StackId node = inside(program(build_id), kHidden);
  const Symbols symbols(hand.recording, {});
  const SymbolFrame frame = symbols.frames(node).back();
  EXPECT_EQ(symbols.function_name(frame.function), "area::(anonymous namespace)::hidden");
  EXPECT_EQ(symbols.full_name(frame.function), "area::(anonymous namespace)::hidden(int)");
  EXPECT_EQ(symbols.linkage_name(frame.function), kHidden);
  EXPECT_EQ(symbols.module_name(frame.function), "program");
  EXPECT_EQ(symbols.module_of(frame.function), 1u);
  EXPECT_EQ(symbols.file_name(frame.file), work.path("program.cpp"));
  EXPECT_EQ(frame.line, 13u);
  EXPECT_TRUE(symbols.resolved(frame.function));
  EXPECT_EQ(symbols.unresolved_fraction(), 0);
}

TEST_F(SymbolsOfAProgram, StacksRunFromTheInnermostOutward) {
  const ModuleId module = program(build_id);
  const StackId main_node = hand.node(module, kBias + functions.at("main").start + 1);
  const StackId generation = hand.node(0, 0, main_node, 2);
  const StackId leaf = hand.node(module, kBias + functions.at(kOutermost).start, generation);
  const Symbols symbols(hand.recording, {});
  const std::vector<Frame> stack = symbols.stack(leaf);
  ASSERT_GE(stack.size(), 2u);
  EXPECT_EQ(stack.back().function, "main");
  EXPECT_EQ(stack.back().module, "program");
  EXPECT_EQ(stack.back().address, kBias + functions.at("main").start + 1);
  EXPECT_FALSE(stack.back().inlined);
}

TEST_F(SymbolsOfAProgram, FileOfAnotherBuildIsRefused) {
  const StackId node = inside(program("0123456789abcdef0123456789abcdef01234567"), kHidden);
  hand.recording.cpu.push_back({1000, 1000, 1, node, 10, 5000});
  const Symbols symbols(hand.recording, {});
  EXPECT_FALSE(symbols.resolved(symbols.frames(node).back().function));
  EXPECT_EQ(symbols.unresolved_fraction(), 1);
  EXPECT_THAT(symbols.notes(), ElementsAre(testing::AllOf(HasSubstr("program: no symbols for 1 addresses (100.0 %"),
                                                          HasSubstr("another build"))));
}

TEST_F(SymbolsOfAProgram, WithoutABuildIdTheFileIsTakenAndTheNoteSaysSo) {
  const StackId node = inside(program(""), kHidden);
  const Symbols symbols(hand.recording, {});
  EXPECT_EQ(symbols.function_name(symbols.frames(node).back().function), "area::(anonymous namespace)::hidden");
  EXPECT_THAT(symbols.notes(), ElementsAre(HasSubstr("program: the dump has no build id of it")));
}

TEST_F(SymbolsOfAProgram, RecordedFramesComeFirst) {
  const ModuleId module = program(build_id);
  const StackId node = inside(module, kHidden);
  const std::uint64_t address = hand.recording.nodes[node].address;
  hand.recording.frame_infos.push_back({address, module, 1, 70, "outer(int)", "/src/x.cc"});
  hand.recording.frame_infos.push_back({address, module, 0, 7, "inner<int>(int)", "/src/y.h"});
  const Symbols symbols(hand.recording, {});
  EXPECT_THAT(names_and_lines(symbols, node), ElementsAre("inner<int>:7", "outer:70"));
  EXPECT_TRUE(symbols.frames(node)[0].inlined);
  EXPECT_FALSE(symbols.frames(node)[1].inlined);
  EXPECT_EQ(symbols.file_name(symbols.frames(node)[0].file), "/src/y.h");
}

TEST_F(SymbolsOfAProgram, RecordedPlaceholderGivesWayToAName) {
  const ModuleId module = program(build_id);
  const StackId node = inside(module, kHidden);
  hand.recording.frame_infos.push_back({hand.recording.nodes[node].address, module, 0, 0, "program+0x1140", ""});
  const Symbols symbols(hand.recording, {});
  EXPECT_EQ(symbols.function_name(symbols.frames(node).back().function), "area::(anonymous namespace)::hidden");
}

TEST_F(SymbolsOfAProgram, ModuleLoadedTwiceHasTheSameFunctions) {
  const StackId first = inside(program(build_id), kHidden);
  const ModuleId again = hand.module(work.path("program"), build_id, 2 * kBias);
  const StackId second = hand.node(again, 2 * kBias + functions.at(kHidden).start);
  const Symbols symbols(hand.recording, {});
  EXPECT_EQ(symbols.frames(first).back().function, symbols.frames(second).back().function);
}

TEST_F(SymbolsOfAProgram, ManyThreadsGetTheSameAnswers) {
  const ModuleId module = program(build_id);
  std::vector<StackId> nodes;
  for (const auto& [name, extent] : functions)
    for (std::uint64_t offset = 0; offset < extent.size; ++offset) nodes.push_back(inside(module, name.c_str(), offset));
  const Symbols one(hand.recording, {}), many(hand.recording, {});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { many.resolve_all(nodes); });
  for (std::thread& thread : threads) thread.join();
  for (const StackId node : nodes) EXPECT_EQ(names_and_lines(one, node), names_and_lines(many, node));
  EXPECT_EQ(one.function_count(), many.function_count());
}

TEST(Symbols, SymbolRecordsServeWhereTheFileIsMissing) {
  RecordingByHand hand;
  const ModuleId module = hand.module("/nowhere/libgone.so", "00ff", 0x10000);
  hand.recording.symbols.push_back({0x10100, 0x40, module, "_ZN4area4workEv"});
  const StackId inside = hand.node(module, 0x1013f), behind = hand.node(module, 0x10140);
  const Symbols symbols(hand.recording, {});
  EXPECT_EQ(symbols.function_name(symbols.frames(inside)[0].function), "area::work");
  EXPECT_EQ(symbols.function_name(symbols.frames(behind)[0].function), "libgone.so+0x140");
}

TEST(Symbols, PlaceholderIsTheStartOfTheRecordedUnwindRange) {
  RecordingByHand hand;
  const ModuleId module = hand.module("/nowhere/libgone.so", "00ff", 0x10000);
  hand.recording.code_ranges.push_back({0x10200, 0x100, module});
  const StackId one = hand.node(module, 0x10210), other = hand.node(module, 0x102ff), outside = hand.node(module, 0x10300);
  const Symbols symbols(hand.recording, {});
  EXPECT_EQ(symbols.function_name(symbols.frames(one)[0].function), "libgone.so+0x200");
  EXPECT_EQ(symbols.frames(one)[0].function, symbols.frames(other)[0].function);
  EXPECT_EQ(symbols.function_name(symbols.frames(outside)[0].function), "libgone.so+0x300");
  EXPECT_FALSE(symbols.resolved(symbols.frames(one)[0].function));
  EXPECT_THAT(symbols.notes(), ElementsAre(HasSubstr("build id 00ff")));
}

TEST(Symbols, JitCodeIsNamedByRecordsThenByThePerfMap) {
  const Workspace work;
  RecordingByHand hand;
  char host[256] = {};
  gethostname(host, sizeof host - 1);
  hand.recording.session.hostname = host;
  hand.recording.session.pid = 4711;
  hand.recording.mappings.push_back({0x500000, 0x600000, ""});
  hand.recording.symbols.push_back({0x500000, 0x100, 0, "recorded name"});
  work.write("perf-4711.map", "500000 1000 mapped name\n");
  const StackId recorded = hand.node(0, 0x500010), mapped = hand.node(0, 0x500200), unknown = hand.node(0, 0x502000);
  SymbolOptions options;
  options.perf_map_directory = work.path("");
  const Symbols symbols(hand.recording, options);
  EXPECT_EQ(symbols.function_name(symbols.frames(recorded)[0].function), "recorded name");
  EXPECT_EQ(symbols.function_name(symbols.frames(mapped)[0].function), "mapped name");
  EXPECT_EQ(symbols.function_name(symbols.frames(unknown)[0].function), "[anonymous code]+0x500000");
  EXPECT_EQ(symbols.module_name(symbols.frames(mapped)[0].function), "");
  hand.recording.session.hostname = "another-machine";
  const Symbols elsewhere(hand.recording, options);
  EXPECT_EQ(elsewhere.function_name(elsewhere.frames(mapped)[0].function), "[anonymous code]+0x500000");
}

TEST(Symbols, NodesThatAreNoCodeHaveMarkers) {
  RecordingByHand hand;
  const StackId unknown = hand.node(0, 0, 0, 1), folded = hand.node(0, 0, 0, 3), strange = hand.node(0, 0, 0, 200);
  const Symbols symbols(hand.recording, {});
  EXPECT_EQ(symbols.function_name(symbols.frames(unknown)[0].function), "[frames beyond are unknown]");
  EXPECT_EQ(symbols.function_name(symbols.frames(folded)[0].function), "[frames folded]");
  for (const StackId node : {StackId{0}, strange, StackId{99999}}) EXPECT_EQ(symbols.frames(node).size(), 1u);
  EXPECT_TRUE(symbols.notes().empty());
}

TEST(Symbols, BrokenParentsEnd) {
  RecordingByHand hand;
  const StackId first = hand.node(0, 0x10, 2), second = hand.node(0, 0x20, 1);
  const Symbols symbols(hand.recording, {});
  EXPECT_LE(symbols.stack(first).size(), 2u);
  EXPECT_LE(symbols.stack(second).size(), 2u);
}

TEST(Symbols, UnknownIdsAreAnswered) {
  const Recording recording;
  const Symbols symbols(recording, {});
  EXPECT_FALSE(symbols.resolved(0));
  EXPECT_FALSE(symbols.function_name(12345).empty());
  EXPECT_EQ(symbols.file_name(12345), "");
  EXPECT_EQ(symbols.module_name(12345), "");
}

}  // namespace
}  // namespace tailback::analyzers
