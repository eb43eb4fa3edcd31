// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::cpu_hotspot;
using analyzers::Severity;
using ::testing::HasSubstr;

constexpr const char* kRegexConstructor = "std::__cxx11::basic_regex<char, std::__cxx11::regex_traits<char> >::basic_regex(char const*, std::regex_constants::syntax_option_type)";
constexpr const char* kRegexCompiler = "std::__detail::_Compiler<std::__cxx11::regex_traits<char> >::_Compiler(char const*, char const*, std::locale const&, std::regex_constants::syntax_option_type)";

TEST(CpuHotspot, BlamesTheCallerOfTheLibraryAndItsLine) {
  TraceBuilder builder;
  builder.define("is_valid(Request const&)", {.file = "server.cc", .line = 41});
  builder.define("malloc", {.module = "libc.so.6"});
  builder.run(1, 0, 2, builder.stack({"main", "is_valid(Request const&)", kRegexConstructor, kRegexCompiler, "malloc"}));
  builder.run(1, 2, 3, builder.stack({"main", "reply(Request const&)"}), {.busy = 0.4});
  const auto result = cpu_hotspot(*model_of(builder.finish(3)));
  ASSERT_FALSE(result.findings.empty());
  const auto& first = result.findings.front();
  EXPECT_EQ(incomplete(first), "");
  EXPECT_EQ(first.culprit.function, "is_valid");
  EXPECT_EQ(first.culprit.line, 41u);
  EXPECT_EQ(evidence_text(first, "pattern"), "regex compiled in a loop");
  EXPECT_EQ(first.severity, Severity::high);
  EXPECT_EQ(first.gain.metric, "wall_time");
  EXPECT_NEAR(first.gain.fraction, 0.95 * 2 / 3, 0.03);
  ASSERT_FALSE(first.stacks.empty());
  EXPECT_EQ(first.stacks.front().role, "cpu");
}

TEST(CpuHotspot, APlainHotFunctionIsMediumAndClaimsNoMoreThanItsShare) {
  TraceBuilder builder;
  builder.run(1, 0, 3, builder.stack({"main", "simulate(int)"}), {.busy = 0.8});
  builder.run(1, 0, 3, builder.stack({"main", "draw()"}), {.busy = 0.2});
  const auto result = cpu_hotspot(*model_of(builder.finish(3)));
  ASSERT_EQ(result.findings.size(), 2u);
  EXPECT_EQ(incomplete(result.findings[0]), "");
  EXPECT_EQ(result.findings[0].culprit.function, "simulate");
  EXPECT_EQ(result.findings[0].severity, Severity::medium);
  EXPECT_NEAR(result.findings[0].gain.high, 0.8, 0.02);
  EXPECT_EQ(result.findings[0].gain.low, 0);
  EXPECT_EQ(result.findings[1].severity, Severity::info);
}

constexpr const char* kStringCopy = "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >::basic_string(char const*)";

TEST(CpuHotspot, AWastefulPatternSpeaksForAFunctionBesideAUsualOneOfLikeShare) {
  TraceBuilder builder;
  builder.run(1, 0, 2, builder.stack({"main", "field(std::string)", kStringCopy}), {.busy = 0.45});
  builder.run(1, 0, 2, builder.stack({"main", "field(std::string)", "memchr"}), {.busy = 0.5});
  const auto result = cpu_hotspot(*model_of(builder.finish(2)));
  ASSERT_FALSE(result.findings.empty());
  EXPECT_EQ(evidence_text(result.findings[0], "pattern"), "string copies");
  EXPECT_EQ(result.findings[0].severity, Severity::high);
}

TEST(CpuHotspot, CopiesMadeForACallAreTheCalledFunctionsToChange) {
  for (const auto& [in_caller, named] : {std::pair(0.5, "field"), std::pair(0.8, "scan")}) {
    TraceBuilder builder;
    builder.run(1, 0, 2, builder.stack({"main", "scan()", kStringCopy}), {.busy = in_caller});
    builder.run(1, 0, 2, builder.stack({"main", "scan()", "field(std::string)", kStringCopy}), {.busy = 0.95 - in_caller});
    const auto result = cpu_hotspot(*model_of(builder.finish(2)));
    ASSERT_EQ(result.findings.size(), 1u);
    EXPECT_EQ(result.findings[0].culprit.function, named) << in_caller;
    EXPECT_NEAR(result.findings[0].gain.fraction, 0.95 * 0.95, 0.03) << "both together";
  }
}

TEST(CpuHotspot, ASpreadProfileIsFine) {
  TraceBuilder builder;
  for (int i = 0; i < 16; ++i) builder.run(1, 0, 2, builder.stack({"main", "step_" + std::to_string(i)}), {.busy = 1.0 / 16});
  const auto result = cpu_hotspot(*model_of(builder.finish(2)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.fine, HasSubstr("6 %"));
}

TEST(CpuHotspot, ThePurposeOfAProgramNeverExceedsMedium) {
  for (const char* function : {"lzma_code", "ZSTD_compressStream", "EVP_EncryptUpdate"}) {
    TraceBuilder builder;
    builder.define(function, {.module = function[0] == 'l' ? "liblzma.so.5" : function[0] == 'Z' ? "libzstd.so.1" : "libcrypto.so.3"});
    builder.run(1, 0, 3, builder.stack({"main", "compress_file", function}));
    const auto result = cpu_hotspot(*model_of(builder.finish(3)));
    ASSERT_EQ(result.findings.size(), 1u) << function;
    EXPECT_LE(result.findings[0].severity, Severity::medium);
    EXPECT_LT(result.findings[0].gain.fraction, 0.5);
    EXPECT_EQ(result.findings[0].culprit.function, "compress_file");
  }
}

TEST(CpuHotspot, LibraryWorkersWithoutProgramFramesNameTheLibrary) {
  TraceBuilder builder;
  builder.define("start_thread", {.module = "libc.so.6"});
  builder.define("worker_start", {.module = "liblzma.so.5"});
  builder.define("lzma_mf_bt4_find", {.module = "liblzma.so.5"});
  const auto worker = builder.thread({.name = "xz", .start_routine = "worker_start"});
  builder.run(worker, 0, 2, builder.stack({"start_thread", "worker_start", "lzma_mf_bt4_find"}));
  const auto result = cpu_hotspot(*model_of(builder.finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].culprit.module, "liblzma.so.5");
  EXPECT_EQ(evidence_text(result.findings[0], "pattern"), "compression");
}

TEST(CpuHotspot, ComparisonFunctionsBelongToTheSort) {
  TraceBuilder builder;
  builder.define("qsort", {.module = "libc.so.6"});
  builder.run(1, 0, 2, builder.stack({"main", "rank_all()", "qsort", "by_price(void const*, void const*)"}));
  const auto result = cpu_hotspot(*model_of(builder.finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].culprit.function, "rank_all");
  EXPECT_EQ(evidence_text(result.findings[0], "pattern"), "sorting");
}

TEST(CpuHotspot, InlinedLibraryCodeLeadsToTheLineThatCallsIt) {
  TraceBuilder builder;
  builder.define("std::find<int*, int>(int*, int*, int const&)", {.file = "stl_algo.h", .line = 3900, .inlined_into = "known(int)"});
  builder.define("known(int)", {.file = "users.cc", .line = 12});
  builder.run(1, 0, 2, builder.stack({"main", "std::find<int*, int>(int*, int*, int const&)"}));
  const auto result = cpu_hotspot(*model_of(builder.finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].culprit.function, "known");
  EXPECT_EQ(result.findings[0].culprit.line, 12u);
  EXPECT_EQ(evidence_text(result.findings[0], "pattern"), "quadratic scan");
  EXPECT_EQ(result.findings[0].severity, Severity::high);  // 2 s of scanning with 64 MiB resident: many passes
  EXPECT_GE(evidence_number(result.findings[0], "passes over all the data it ever held, at least"), 4);
}

TEST(CpuHotspot, ASearchThatMayHavePassedOnceIsNoMoreThanMedium) {
  TraceBuilder builder;
  builder.add(trace::ProcessState{.t = kSecond, .rss_bytes = std::uint64_t{2} << 30, .rss_peak_bytes = std::uint64_t{2} << 30});
  builder.run(1, 0, 2, builder.stack({"main", "load", "std::find<int*, int>(int*, int*, int const&)"}));
  const auto result = cpu_hotspot(*model_of(builder.finish(2)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].severity, Severity::medium);
}

TEST(CpuHotspot, ABusyFunctionInAnIdleServerMattersLittle) {
  TraceBuilder builder;
  builder.run(1, 0, 20, builder.stack({"main", "loop()", kRegexConstructor}), {.busy = 0.02});
  const auto result = cpu_hotspot(*model_of(builder.finish(20)));
  for (const auto& finding : result.findings) EXPECT_LE(finding.severity, Severity::low);
}

TEST(CpuHotspot, WithSeveralThreadsTheGainOfAnIdleOneIsOnlyCpuTime) {
  TraceBuilder builder;
  const auto first = builder.thread({.name = "a", .start_routine = "work"});
  const auto second = builder.thread({.name = "b", .start_routine = "work"});
  for (const auto thread : {first, second}) builder.run(thread, 0, 4, builder.stack({"work", "decode"}), {.busy = 0.3});
  const auto result = cpu_hotspot(*model_of(builder.finish(4)));
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_EQ(result.findings[0].gain.metric, "cpu_time");
  EXPECT_THAT(result.findings[0].gain.how, HasSubstr("not known"));
}

TEST(CpuHotspot, TooFewSamplesIsNotApplicable) {
  TraceBuilder builder;
  builder.run(1, 0, 0.05, builder.stack({"main"}));
  const auto result = cpu_hotspot(*model_of(builder.finish(0.05)));
  EXPECT_TRUE(result.findings.empty());
  EXPECT_THAT(result.not_applicable, HasSubstr("needed"));
}

}  // namespace
}  // namespace tailback::testing
