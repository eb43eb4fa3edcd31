// SPDX-License-Identifier: Apache-2.0
// Profiles that the real tools wrote of profiles/shop.cpp (and a Go program like it): 100 blocks of 3000 bytes, 40 of them freed at the end;
// 200 strings of 41 to 47 bytes, each freed at once; 64 blocks of 64 KiB, freed together. The program counts itself: the sums are known.
#include "analyzers/foreign/foreign_profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cmath>
#include <fstream>
#include <iterator>

#include "analyzers/input_error.h"
#include "analyzers/model/heap.h"
#include "analyzers/model/symbols.h"

namespace tailback::analyzers {
namespace {

using ::testing::HasSubstr;

std::vector<std::uint8_t> file(const std::string& name) {
  std::ifstream in(std::string(TAILBACK_SOURCE_DIR) + "/tests/analyzers/foreign/profiles/" + name, std::ios::binary);
  std::vector<std::uint8_t> bytes(std::istreambuf_iterator<char>(in), {});
  EXPECT_FALSE(bytes.empty()) << name;
  return bytes;
}

std::optional<Recording> read_text(const std::string& text) {
  return read_foreign_image({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, "input");
}

struct Profile {
  explicit Profile(Recording read) : recording(std::move(read)), symbols(recording, {}), heap(Heap::build(recording)) {}
  explicit Profile(const std::string& name) : Profile(std::move(*read_foreign_image(file(name), name))) {}

  // The site whose stack holds all of the functions; nullptr: none.
  const HeapSite* site(const std::vector<std::string>& functions) const {
    for (const HeapSite& one : heap.sites) {
      const std::vector<Frame> frames = symbols.stack(one.stack);
      const auto holds = [&](const std::string& name) {
        return std::any_of(frames.begin(), frames.end(), [&](const Frame& frame) { return frame.function == name; });
      };
      if (std::all_of(functions.begin(), functions.end(), holds)) return &one;
    }
    return nullptr;
  }

  Recording recording;
  Symbols symbols;
  Heap heap;
};

TEST(Heaptrack, EqualsWhatTheProgramDid) {
  const Profile profile("shop.heaptrack.zst");
  EXPECT_EQ(profile.recording.source.format, "heaptrack file");
  EXPECT_EQ(profile.recording.session.program, "./shop");
  EXPECT_TRUE(profile.recording.complete);
  EXPECT_TRUE(profile.heap.exact);
  const HeapSite* churn = profile.site({"churn", "main"});
  ASSERT_TRUE(churn);
  EXPECT_EQ(churn->blocks, 200);
  EXPECT_EQ(churn->temporary, 200);
  EXPECT_EQ(churn->live_blocks(), 0);
  const HeapSite* peak = profile.site({"keep", "peak"});
  ASSERT_TRUE(peak);
  EXPECT_EQ(peak->bytes, 64 * 65536);
  EXPECT_EQ(peak->peak_bytes, 64 * 65536);
  EXPECT_EQ(peak->live_bytes(), 0);
  double kept = 0, at_peak = 0;
  for (const HeapSite& site : profile.heap.sites) at_peak += site.peak_bytes, kept += site.blocks == 100 ? site.live_bytes() : 0;
  EXPECT_EQ(kept, 60 * 3000);
  EXPECT_EQ(at_peak, profile.heap.peak_bytes);
  EXPECT_FALSE(profile.heap.facts.costs);
  EXPECT_GE(profile.recording.process.back().rss_peak_bytes, 4u << 20);
}

TEST(Heaptrack, NamesFilesAndInlinedFunctions) {
  const Profile profile("shop.heaptrack.zst");
  const HeapSite* churn = profile.site({"churn"});
  ASSERT_TRUE(churn);
  const std::vector<Frame> frames = profile.symbols.stack(churn->stack);
  const auto at = std::find_if(frames.begin(), frames.end(), [](const Frame& frame) { return frame.function == "churn"; });
  ASSERT_NE(at, frames.end());
  EXPECT_THAT(at->file, HasSubstr("shop.cpp"));
  EXPECT_EQ(at->module, "shop");
  ASSERT_NE(at, frames.begin());
  EXPECT_TRUE(std::prev(at)->inlined);
}

TEST(Heaptrack, PeakOfASiteIsThatOfTheWholePeak) {
  const auto recording = read_text(
      "v 10400 3\nX p a b\nI 1000 10\ns 4 prog\ns 1 f\ns 3 g\nh\ni 100 1 2 0 0\ni 200 1 3 0 0\nt 1 0\nt 2 1\na 64 1\na a 2\n"
      "+ 0\n+ 1\n- 0\n+ 1\n+ 1\nc 64\n- 1\n+ 0\n+ 1\nc 6e\n# strings: 3\n");
  ASSERT_TRUE(recording);
  const auto& sites = recording->allocations.sites;
  ASSERT_EQ(sites.size(), 2u);
  EXPECT_EQ(recording->allocations.peak_bytes, 130u);
  EXPECT_EQ(sites[0].peak_bytes, 100u);
  EXPECT_EQ(sites[1].peak_bytes, 30u);
  EXPECT_EQ(sites[1].temporary, 1u);
  EXPECT_EQ(recording->session.command, std::string_view("p\0a\0b", 5));
  EXPECT_EQ(recording->duration_ns, 110'000'000u);
  EXPECT_EQ(recording->frame_infos.back().function, "g\nh");
}

TEST(Heaptrack, WhatCannotBeIsLeftOut) {
  const auto recording = read_text("v 10400 3\nt 9 9\nt 1 0\na 8 77\n+ 0\n+ 5\n- 0\n- 0\n- zz\n+\nq\ns ff\ns 2\na\ni\n");
  ASSERT_TRUE(recording);
  EXPECT_FALSE(recording->complete);
  EXPECT_EQ(recording->allocations.sites.size(), 1u);
  EXPECT_GE(recording->allocations.unknown_frees, 2u);
  EXPECT_THROW(read_text("v 10400 9\nX p\n"), InputError);
  EXPECT_THROW(read_text("v 10400 3\n"), InputError);
}

TEST(GperftoolsHeap, EqualsWhatTheProgramDid) {
  const Profile profile("shop.gperftools.heap");
  EXPECT_EQ(profile.recording.source.format, "gperftools heap profile");
  EXPECT_TRUE(profile.heap.exact);
  EXPECT_EQ(profile.recording.session.program, "/opt/demo/shop_tc");
  ASSERT_EQ(profile.heap.sites.size(), 4u);
  EXPECT_EQ(profile.heap.bytes, 4504114);
  EXPECT_EQ(profile.heap.live_bytes, 180000);
  EXPECT_EQ(profile.heap.sites[0].bytes, 64 * 65536);
  EXPECT_FALSE(profile.heap.facts.peak);
  EXPECT_TRUE(profile.recording.complete);
}

TEST(GperftoolsHeap, ModulesHaveTheirPlaces) {
  const Profile profile("shop.gperftools.heap");
  const NodeRow& leaf = profile.recording.nodes[profile.heap.sites[0].stack];
  ASSERT_NE(leaf.module, 0u);
  const ModuleRow& module = profile.recording.modules[leaf.module - 1];
  EXPECT_EQ(module.path, "/opt/demo/shop_tc");
  EXPECT_EQ(leaf.address - module.bias, 0x11f7u);  // the return address in keep(), less one
}

TEST(GperftoolsHeap, GrowthHasNoFrees) {
  const Profile profile("shop.gperftools.growth");
  EXPECT_EQ(profile.recording.source.format, "gperftools growth profile");
  EXPECT_FALSE(profile.heap.facts.frees);
  EXPECT_EQ(profile.heap.bytes, 26214400);
}

TEST(GperftoolsHeap, SamplesAreScaledUp) {
  const Profile sampled("shop.gperftools.sampled");
  EXPECT_FALSE(sampled.heap.exact);
  EXPECT_NEAR(sampled.heap.live_bytes, 3 * 3145728 / (1 - std::exp(-6.0)), 3);
  const auto recording = read_text("heap profile: 2: 200 [4: 400] @ heap_v2/1000\n 2: 200 [4: 400] @ 0x10 0x20\nMAPPED_LIBRARIES:\n");
  ASSERT_TRUE(recording);
  const AllocationSiteRow& site = recording->allocations.sites.at(0);
  const double seen = 1 - std::exp(-0.1);
  EXPECT_NEAR(static_cast<double>(site.bytes), 400 / seen, 1);
  EXPECT_NEAR(static_cast<double>(site.live_blocks()), 2 / seen, 1);
  EXPECT_NEAR(recording->allocations.samples.at(0).bytes_deviation, 100 / seen * std::sqrt(4 * (1 - seen)), 1);
}

TEST(JemallocHeap, EstimatesWhatTheProgramDid) {
  const Profile profile("shop.jemalloc.heap");
  EXPECT_EQ(profile.recording.source.format, "jemalloc heap dump");
  EXPECT_EQ(profile.recording.allocations.allocator, "jemalloc");
  EXPECT_TRUE(profile.heap.facts.totals);
  EXPECT_NEAR(profile.heap.bytes, 4504114, 150000);  // one sample for each 4 KiB
  EXPECT_NEAR(profile.heap.live_bytes, 60 * 3000 + 81920, 60000);
  for (const HeapSite& site : profile.heap.sites) {
    if (!site.stack) continue;
    const ModuleId module = profile.recording.nodes[site.stack].module;
    ASSERT_NE(module, 0u);
    EXPECT_EQ(profile.recording.modules[module - 1].path.find("jemalloc"), std::string::npos);
  }
}

TEST(Pprof, HeapOfGo) {
  const Profile profile("shop.go.heap.pb.gz");
  EXPECT_EQ(profile.recording.source.format, "pprof heap profile");
  EXPECT_EQ(profile.recording.session.program, "/opt/demo/goshop");
  EXPECT_FALSE(profile.heap.exact);
  const HeapSite* keep = profile.site({"main.keep", "main.main"});
  ASSERT_TRUE(keep);
  EXPECT_EQ(keep->live_blocks(), 48);
  EXPECT_EQ(keep->live_bytes(), 5171715);
  EXPECT_GT(keep->bytes_deviation, 0);
  EXPECT_LT(keep->bytes_deviation, 0.2 * keep->bytes);
  const HeapSite* drop = profile.site({"main.drop"});
  ASSERT_TRUE(drop);
  EXPECT_EQ(drop->live_bytes(), 0);
  EXPECT_EQ(drop->blocks, 907);
}

TEST(Pprof, CpuOfGo) {
  const Profile profile("shop.go.cpu.pb.gz");
  EXPECT_EQ(profile.recording.source.format, "pprof CPU profile");
  EXPECT_THAT(profile.heap.missing, HasSubstr("pprof CPU profile"));
  EXPECT_EQ(profile.recording.whole_cpu_ns, profile.recording.total_samples * 10'000'000);
  EXPECT_GT(profile.recording.duration_ns, 2'000'000'000u);
}

TEST(Pprof, OtherKindsAreNamed) {
  // sample_type {type: 1 unit: 2}, string_table "", "contentions", "count"
  const std::string mutex("\x0a\x04\x08\x01\x10\x02\x32\x00\x32\x0b" "contentions\x32\x05" "count", 28);
  try {
    read_text(mutex);
    FAIL() << "accepted";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("input: "));
    EXPECT_THAT(error.what(), HasSubstr("contentions/count"));
  }
}

TEST(Folded, StacksRootFirst) {
  const Profile profile("shop.folded");
  EXPECT_EQ(profile.recording.source.format, "file of folded stacks");
  EXPECT_EQ(profile.recording.total_samples, 200u);
  ASSERT_EQ(profile.recording.cpu.size(), 3u);
  std::vector<std::string> names;
  for (const Frame& frame : profile.symbols.stack(profile.recording.cpu[0].stack)) names.push_back(frame.function);
  EXPECT_EQ(names, (std::vector<std::string>{"parse", "serve", "main", "shop"}));
}

TEST(Foreign, OnlyWhatIsRecognised) {
  for (const char* text : {"", "\n", "no dump", "a b c\n", "one 1\ntwo 2\n", "v x\n", "TAILBACK", "{\"json\": 1}\n", "a;b\n"}) EXPECT_FALSE(read_text(text)) << text;
}

TEST(Foreign, PartsOfItCannotBeAskedFor) {
  const auto bytes = file("shop.folded");
  EXPECT_THROW(read_foreign_image(bytes, "input", {.from_ns = 1}), InputError);
  EXPECT_THROW(read_foreign_image(bytes, "input", {.thread = "main"}), InputError);
}

TEST(Foreign, CompressionDoesNotMatter) {
  const auto plain = file("shop.jemalloc.heap");
  std::vector<std::uint8_t> packed(plain.size() + 1000);
  z_stream stream{};
  ASSERT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  stream.next_in = const_cast<Bytef*>(plain.data());
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = packed.data();
  stream.avail_out = static_cast<uInt>(packed.size());
  ASSERT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  const auto a = read_foreign_image(plain, "plain"), b = read_foreign_image(packed, "packed");
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a->allocations.heap.back().bytes, b->allocations.heap.back().bytes);
  packed.resize(packed.size() / 2);
  const auto cut = read_foreign_image(packed, "cut");
  ASSERT_TRUE(cut);
  EXPECT_FALSE(cut->complete);
  EXPECT_THAT(cut->reader_notes, ::testing::Contains(HasSubstr("breaks off")));
}

}  // namespace
}  // namespace tailback::analyzers
