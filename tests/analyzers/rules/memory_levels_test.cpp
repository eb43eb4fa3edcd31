// SPDX-License-Identifier: Apache-2.0
// memory-peak, memory-fragmentation and memory-pressure: levels of live and resident memory beside each other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::memory_fragmentation;
using analyzers::memory_peak;
using analyzers::memory_pressure;
using analyzers::Severity;
using ::testing::HasSubstr;

constexpr std::uint64_t kStopped = 3;
constexpr double kMega = 1e6;

OverTime at_once(double blocks) {
  return [=](double t) { return t > 0.05 ? blocks : 0; };
}
OverTime between(double from, double blocks) {
  return [=](double t) { return t >= from ? blocks : 0; };
}

std::uint64_t allocation(TraceBuilder& builder, const char* function) { return builder.stack({"main", function, "operator new(unsigned long)"}); }

// A table of 50 MB, and a document of 70 MB for a moment.
TraceBuilder export_at(double from, double to) {
  TraceBuilder builder;
  builder.heap({.sites = {{.stack = allocation(builder, "load_table"), .size = 1000, .blocks = at_once(50'000)},
                          {.stack = allocation(builder, "export_document"), .size = 70e6, .blocks = between(from, 1), .freed = between(to, 1)}}});
  builder.resident([=](double t) { return 55 * kMega + (t >= from && t < to ? 70 * kMega : 0); });
  builder.add(trace::ProcessState{.t = static_cast<std::uint64_t>(from * 1e9), .rss_bytes = 125'000'000, .rss_peak_bytes = 125'000'000});
  return builder;
}

TEST(MemoryPeak, ADocumentForAMoment) {
  const auto result = memory_peak(*model_of(export_at(5.1, 5.2).finish(10, kStopped)));
  ASSERT_EQ(result.findings.size(), 1u);
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.culprit.function, "export_document");
  EXPECT_EQ(finding.severity, Severity::medium);
  EXPECT_NEAR(finding.gain.fraction, 70.0 / 125, 0.01);
  EXPECT_NEAR(evidence_number(finding, "reached after"), 5, 0.01);
  EXPECT_NEAR(evidence_number(finding, "and before"), 5.25, 0.01);
}

TEST(MemoryPeak, InAProgramThatEndsItIsLow) {
  auto builder = export_at(5.1, 5.2);
  builder.run(1, 0, 10, builder.stack({"main"}));
  const auto result = memory_peak(*model_of(builder.finish(10)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].severity, Severity::low);
}

TEST(MemoryPeak, WhatLastsIsNoPeak) { EXPECT_TRUE(memory_peak(*model_of(export_at(3, 8).finish(10, kStopped))).findings.empty()); }

TEST(MemoryPeak, WhatIsThereToTheEndIsNone) { EXPECT_TRUE(memory_peak(*model_of(export_at(9, 20).finish(10, kStopped))).findings.empty()); }

TEST(MemoryPeak, ASmallOneBesideALargeTableIsNone) {
  TraceBuilder builder;
  builder.heap({.sites = {{.stack = allocation(builder, "load_table"), .size = 1000, .blocks = at_once(500'000)},
                          {.stack = allocation(builder, "export_document"), .size = 20e6, .blocks = between(5, 1), .freed = between(5.1, 1)}}});
  builder.resident([](double) { return 520 * kMega; });
  const auto result = memory_peak(*model_of(builder.finish(10, kStopped)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.fine, HasSubstr("live bytes reached"));
}

TEST(MemoryPeak, WithoutAllocationsItIsNotApplicable) { EXPECT_FALSE(memory_peak(*model_of(TraceBuilder().finish(1))).not_applicable.empty()); }

// 200 MB of records, freed after a second; entries of 24 bytes between them stay. `resident`: from then on.
TraceBuilder index_of(double resident, double entries = 400'000) {
  TraceBuilder builder;
  builder.heap({.sites = {{.stack = allocation(builder, "read_record"), .size = 500, .blocks = at_once(400'000), .freed = between(1.01, 400'000)},
                          {.stack = allocation(builder, "add_entry"), .size = 24, .blocks = at_once(entries)}}});
  builder.resident([=](double t) { return t < 0.5 ? 4 * kMega : t < 1.5 ? 220 * kMega : resident; });
  return builder;
}

TEST(MemoryFragmentation, SmallBlocksHoldThePages) {
  const auto result = memory_fragmentation(*model_of(index_of(218 * kMega).finish(10, kStopped)));
  ASSERT_EQ(result.findings.size(), 1u);
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.culprit.function, "add_entry");
  EXPECT_EQ(finding.severity, Severity::medium);
  EXPECT_NEAR(finding.gain.fraction, 0.9, 0.1);
  EXPECT_LT(evidence_number(finding, "malloc_trim gives back about"), 2 * kMega) << "something on each page";
  EXPECT_THAT(finding.advice.back(), HasSubstr("allocator"));
}

TEST(MemoryFragmentation, FewBlocksLeaveMostPagesToTrim) {
  const auto result = memory_fragmentation(*model_of(index_of(218 * kMega, 1000).finish(10, kStopped)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_GT(evidence_number(result.findings[0], "malloc_trim gives back about"), 150 * kMega);
  EXPECT_THAT(result.findings[0].advice.front(), HasSubstr("malloc_trim(0)"));
}

TEST(MemoryFragmentation, WhatTheAllocatorSaysBoundsIt) {
  auto builder = index_of(218 * kMega);
  for (std::uint64_t second = 1; second <= 10; ++second)
    builder.add(trace::AllocatorState{.t = second * kSecond, .allocator = "glibc", .in_use_bytes = 210'000'000, .free_bytes = 5'000'000, .mapped_bytes = 215'000'000});
  EXPECT_TRUE(memory_fragmentation(*model_of(builder.finish(10, kStopped))).findings.empty());
}

TEST(MemoryFragmentation, WhatWentBackIsFine) { EXPECT_TRUE(memory_fragmentation(*model_of(index_of(20 * kMega).finish(10, kStopped))).findings.empty()); }

TEST(MemoryFragmentation, ResidentMemoryThatIsNoHeapIsFine) {
  TraceBuilder builder;
  builder.heap({.sites = {{.stack = allocation(builder, "load"), .size = 1000, .blocks = at_once(10'000)}}});
  builder.resident([](double t) { return t < 0.5 ? 4 * kMega : 900 * kMega; });
  EXPECT_TRUE(memory_fragmentation(*model_of(builder.finish(10, kStopped))).findings.empty());
}

TEST(MemoryFragmentation, WithoutAllocationsItIsNotApplicable) { EXPECT_FALSE(memory_fragmentation(*model_of(TraceBuilder().finish(1))).not_applicable.empty()); }

TraceBuilder beside_limit(OverTime resident, std::uint64_t limit) {
  TraceBuilder builder;
  builder.add(trace::Machine{.cpus_online = 2, .memory_bytes = std::uint64_t{8} << 30});
  builder.add(trace::CgroupState{.t = kSecond, .memory_bytes = limit - 1000, .memory_limit_bytes = limit});
  builder.heap({.sites = {{.stack = allocation(builder, "load"), .size = 1000, .blocks = at_once(10'000)}}});
  builder.resident(std::move(resident));
  return builder;
}

TEST(MemoryPressure, NearTheCgroupsLimit) {
  const auto result = memory_pressure(*model_of(beside_limit([](double) { return 97 * kMega; }, 100'000'000).finish(10, kStopped)));
  ASSERT_EQ(result.findings.size(), 1u);
  const auto& finding = result.findings[0];
  EXPECT_EQ(incomplete(finding), "");
  EXPECT_EQ(finding.severity, Severity::high);
  EXPECT_EQ(finding.gain.metric, "availability");
  EXPECT_THAT(finding.title, HasSubstr("97 %"));
}

TEST(MemoryPressure, FileCacheIsNoPressure) {
  const auto result = memory_pressure(*model_of(beside_limit([](double) { return 20 * kMega; }, 100'000'000).finish(10, kStopped)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.fine, HasSubstr("20 %"));
}

TEST(MemoryPressure, ReachedSoonAtThisRate) {
  const auto result = memory_pressure(*model_of(beside_limit([](double t) { return 10 * kMega + 4 * kMega * t; }, 100'000'000).finish(10, kStopped)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_NEAR(evidence_number(result.findings[0], "time left at this rate"), 12.5, 0.5);
}

TEST(MemoryPressure, WithoutALimitItIsNotApplicable) { EXPECT_FALSE(memory_pressure(*model_of(TraceBuilder().finish(1))).not_applicable.empty()); }

}  // namespace
}  // namespace tailback::testing
