// SPDX-License-Identifier: Apache-2.0
// memory-leak and memory-growth share growing places out between each other: tested side by side.
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::memory_growth;
using analyzers::memory_leak;
using analyzers::Severity;
using ::testing::HasSubstr;

constexpr std::uint64_t kStopped = 3;

OverTime steadily(double each_second) {
  return [=](double t) { return each_second * t; };
}
// Until `at`, then nothing more.
OverTime until(double at, double each_second) {
  return [=](double t) { return each_second * std::min(t, at); };
}

// A server: 1000 requests of 4 KB a second, a part of which nobody frees; beside it a table from the start.
TraceBuilder server(double forgotten, OverTime blocks = steadily(1000)) {
  TraceBuilder builder;
  builder.add(trace::Machine{.cpus_online = 2, .memory_bytes = std::uint64_t{4} << 30});
  HeapSpec heap;
  heap.sites = {{.stack = builder.stack({"main", "handle", "read_request", "operator new(unsigned long)"}), .size = 4096, .blocks = blocks,
                 .freed = [=](double t) { return blocks(t) * (1 - forgotten); }, .life = 50e-6},
                {.stack = builder.stack({"main", "load_table", "malloc"}), .size = 100000, .blocks = until(0.1, 1000)}};
  builder.heap(heap);
  builder.resident([=](double t) { return 20e6 + blocks(t) * forgotten * 4096; });
  return builder;
}

TEST(MemoryLeak, APartOfTheBlocksIsForgotten) {
  const auto model = model_of(server(0.25).finish(10, kStopped));
  const auto result = memory_leak(*model);
  ASSERT_EQ(result.findings.size(), 1u);
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.culprit.function, "read_request");
  EXPECT_EQ(finding.severity, Severity::high);
  EXPECT_EQ(finding.gain.metric, "memory");
  EXPECT_NEAR(evidence_number(finding, "growth"), 1.024e6, 1e4);
  EXPECT_NEAR(finding.gain.fraction, 10.24e6 / 30.24e6, 0.01);
  EXPECT_NEAR(evidence_number(finding, "of them freed while the program worked"), 0.75, 0.01);
  EXPECT_THAT(finding.title, HasSubstr("machine's memory"));
  EXPECT_TRUE(memory_growth(*model).findings.empty()) << "said once";
}

TEST(MemoryLeak, TheCgroupsLimitCounts) {
  auto builder = server(0.25);
  builder.add(trace::CgroupState{.t = kSecond, .memory_bytes = 40 << 20, .memory_limit_bytes = 64 << 20});
  const auto result = memory_leak(*model_of(builder.finish(10, kStopped)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_THAT(result.findings[0].title, HasSubstr("cgroup"));
  EXPECT_NEAR(evidence_number(result.findings[0], "time until it is used up at this rate"), ((64 << 20) - 30.24e6) / 1.024e6, 1);
}

TEST(MemoryLeak, AFewBlocksAreNone) {
  EXPECT_TRUE(memory_leak(*model_of(server(0.002).finish(10, kStopped))).findings.empty()) << "80 KB in 20 blocks, 99.8 % freed";
}

TEST(MemoryLeak, WhatStopsGrowingIsNone) {
  EXPECT_TRUE(memory_leak(*model_of(server(0.25, until(5, 1000)).finish(10, kStopped))).findings.empty());
  EXPECT_TRUE(memory_leak(*model_of(server(0.25, [](double t) { return 4000 * (1 - std::exp(-t / 2)); }).finish(10, kStopped))).findings.empty());
}

// The agent's search at the end found `bytes` of the blocks from one stack lost.
void search(TraceBuilder& builder, const std::vector<std::string>& stack, std::uint64_t blocks, std::uint64_t bytes) {
  trace::LeakScan scan;
  scan.t = 10 * kSecond;
  scan.completed = 1;
  scan.blocks = 10'000;
  scan.leaked_blocks = blocks;
  scan.leaked_bytes = bytes;
  builder.add(scan);
  if (!blocks) return;
  trace::LeakedSite site;
  site.stack = builder.stack(stack);
  site.direct_blocks = blocks;
  site.direct_bytes = bytes;
  builder.add(site);
}

TEST(MemoryLeak, ASearchOfTheMemoryDecides) {
  auto lost = server(0.25);
  search(lost, {"main", "handle", "read_request", "operator new(unsigned long)"}, 2'500, 10'240'000);
  lost.run(1, 0, 10, lost.stack({"main", "handle"}));
  const auto model = model_of(lost.finish(10));
  ASSERT_EQ(memory_leak(*model).findings.size(), 1u) << "also of a program that ends by itself";
  EXPECT_EQ(memory_leak(*model).findings[0].culprit.function, "read_request");

  auto kept = server(0.25);
  search(kept, {}, 0, 0);
  const auto referred_to = model_of(kept.finish(10, kStopped));
  EXPECT_TRUE(memory_leak(*referred_to).findings.empty());
  EXPECT_THAT(memory_leak(*referred_to).fine, HasSubstr("still referred to"));
  EXPECT_EQ(memory_growth(*referred_to).findings.size(), 1u);
}

TEST(MemoryLeak, WhatTheSearchFindsIsToldAlsoWhereNothingGrows) {
  auto builder = server(0, until(0.1, 1000));
  search(builder, {"main", "parse_options", "malloc"}, 40, 1'000'000);
  const auto result = memory_leak(*model_of(builder.finish(10)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_EQ(result.findings[0].culprit.function, "parse_options");
  EXPECT_EQ(result.findings[0].severity, Severity::low);
  EXPECT_EQ(evidence_number(result.findings[0], "lost"), 1e6);
}

TEST(MemoryLeak, AFewLostBytesDoNotMatter) {
  auto builder = server(0, until(0.1, 1000));
  search(builder, {"main", "parse_options", "malloc"}, 3, 300);
  const auto result = memory_leak(*model_of(builder.finish(10)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.fine, HasSubstr("too little to matter"));
}

TEST(MemoryLeak, ABatchProgramMayGrowWithItsInput) {
  auto builder = server(0.25);
  builder.run(1, 0, 10, builder.stack({"main", "handle"}));
  const auto result = memory_leak(*model_of(builder.finish(10)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.fine, HasSubstr("ended"));
}

TEST(MemoryLeak, SampledFiguresHaveTheirDeviation) {
  const auto found = [](double interval) {
    TraceBuilder builder;
    builder.add(trace::Machine{.cpus_online = 2, .memory_bytes = std::uint64_t{4} << 30});
    HeapSpec heap;
    heap.exact = false, heap.samples_each = interval;
    heap.sites = {{.stack = builder.stack({"main", "handle", "read_request", "operator new(unsigned long)"}), .size = 4096, .blocks = steadily(1000),
                   .freed = steadily(750), .life = 50e-6}};
    return memory_leak(*model_of(builder.heap(heap).finish(10, kStopped))).findings;
  };
  ASSERT_EQ(found(64 * 1024).size(), 1u);
  EXPECT_LT(found(64 * 1024)[0].gain.low, found(64 * 1024)[0].gain.fraction);
  EXPECT_TRUE(found(8e6).empty()) << "two samples prove nothing";
}

TEST(MemoryLeak, WithoutAllocationsItIsNotApplicable) {
  EXPECT_FALSE(memory_leak(*model_of(TraceBuilder().finish(1))).not_applicable.empty());
  EXPECT_FALSE(memory_growth(*model_of(TraceBuilder().finish(1))).not_applicable.empty());
}

TEST(MemoryLeak, AShortRecordingIsNotApplicable) {
  TraceBuilder builder;
  builder.heap({.to = 1, .every = 0.5, .sites = {{.stack = builder.stack({"main", "f"}), .blocks = steadily(1000)}}});
  EXPECT_THAT(memory_leak(*model_of(builder.finish(1, kStopped))).not_applicable, HasSubstr("record longer"));
}

TraceBuilder cache(bool released, const char* allocating) {
  TraceBuilder builder;
  builder.add(trace::Machine{.cpus_online = 2, .memory_bytes = std::uint64_t{4} << 30});
  builder.heap({.released_at_end = released, .sites = {{.stack = builder.stack({"main", "serve", "remember", allocating, "operator new(unsigned long)"}), .size = 1000, .blocks = steadily(2000)}}});
  builder.resident([](double t) { return 5e6 + 2e6 * t; });
  return builder;
}

TEST(MemoryGrowth, AContainerThatOnlyTakesIn) {
  const auto model = model_of(cache(false, "std::_Hashtable<int, std::string>::_M_emplace(int)").finish(10, kStopped));
  const auto result = memory_growth(*model);
  ASSERT_EQ(result.findings.size(), 1u);
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.culprit.function, "remember");
  EXPECT_THAT(finding.title, HasSubstr("container"));
  EXPECT_NEAR(evidence_number(finding, "growth"), 2e6, 1e4);
  EXPECT_LE(evidence_number(finding, "growth, low bound (95 %)"), 2e6);
  EXPECT_GE(evidence_number(finding, "growth, high bound (95 %)"), 2e6);
  EXPECT_TRUE(memory_leak(*model).findings.empty());
}

TEST(MemoryGrowth, WithoutAContainerItClaimsLess) {
  const auto result = memory_growth(*model_of(cache(false, "xmalloc").finish(10, kStopped)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].culprit.function, "remember") << "not its name for malloc";
  EXPECT_THAT(result.findings[0].title, HasSubstr("never freed"));
  EXPECT_LT(result.findings[0].confidence, 0.7);
}

TEST(MemoryGrowth, WhatIsFreedInTheEndWasKept) {
  auto builder = cache(true, "xmalloc");
  for (double t = 0; t < 10; ++t) builder.calls({.call = trace::Call::sleep, .stack = builder.stack({"main", "serve"}), .calls = 100, .each = 9e-3, .from = t, .to = t + 1});
  const auto result = memory_growth(*model_of(builder.finish(10)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_THAT(result.findings[0].title, HasSubstr("to the end"));
  EXPECT_GT(evidence_number(result.findings[0], "freed when the program ended"), 15e6);
}

}  // namespace
}  // namespace tailback::testing
