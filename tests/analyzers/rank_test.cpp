// SPDX-License-Identifier: Apache-2.0
// The order of findings, and which of them are one.
#include "analyzers/rank.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "analyzers/analyzer.h"

namespace tailback::analyzers {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

StackEvidence stack(const std::string& role, double weight, const std::vector<std::string>& innermost_first) {
  StackEvidence evidence{.role = role, .weight = weight, .unit = "seconds"};
  for (const auto& function : innermost_first) evidence.frames.push_back({.function = function, .address = std::hash<std::string>{}(function)});
  return evidence;
}

Finding finding(const std::string& rule, Severity severity, double gain, double confidence, std::vector<StackEvidence> stacks = {}) {
  Finding made;
  made.rule = rule;
  made.severity = severity;
  made.gain.fraction = gain;
  made.confidence = confidence;
  made.title = rule + " title";
  made.advice = {rule + " advice"};
  made.culprit.function = stacks.empty() ? rule + " culprit" : stacks.front().frames.front().function;
  made.stacks = std::move(stacks);
  return made;
}

std::vector<std::string> rules(const std::vector<Finding>& findings) {
  std::vector<std::string> names;
  for (const auto& one : findings) names.push_back(one.rule);
  return names;
}

std::vector<std::string> absorbed(const std::vector<Absorbed>& all) {
  std::vector<std::string> texts;
  for (const auto& one : all) texts.push_back(one.rule + " into " + one.into);
  return texts;
}

TEST(Rank, SeverityThenGainTimesConfidence) {
  std::vector<Finding> findings = {finding("a", Severity::low, 0.9, 1), finding("b", Severity::high, 0.1, 0.5), finding("c", Severity::high, 0.4, 0.5),
                                   finding("d", Severity::high, 0.9, 0.1), finding("e", Severity::critical, 0, 0)};
  rank(findings);
  EXPECT_THAT(rules(findings), ElementsAre("e", "c", "d", "b", "a"));
}

TEST(Rank, EqualFindingsKeepAFixedOrder) {
  std::vector<Finding> findings = {finding("z", Severity::low, 0.1, 1), finding("m", Severity::low, 0.1, 1), finding("a", Severity::low, 0.1, 1)};
  rank(findings);
  EXPECT_THAT(rules(findings), ElementsAre("a", "m", "z"));
}

TEST(Merge, OneFunctionSeenTwiceIsTheMoreSpecificFinding) {
  std::vector<Finding> findings = {finding("cpu-hotspot", Severity::medium, 0.5, 1, {stack("cpu", 9, {"wait_for", "main"}), stack("cpu", 1, {"other", "main"})}),
                                   finding("cpu-spin", Severity::low, 0.4, 1, {stack("cpu", 9, {"wait_for", "main"})})};
  EXPECT_THAT(absorbed(merge_same_cause(findings)), ElementsAre("cpu-hotspot into cpu-spin"));
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].rule, "cpu-spin");
  EXPECT_EQ(findings[0].severity, Severity::medium);
  EXPECT_EQ(std::get<std::string>(findings[0].evidence.back().value), "cpu-hotspot title");
  EXPECT_THAT(findings[0].advice, ElementsAre("cpu-spin advice", "cpu-hotspot advice"));
}

TEST(Merge, DifferentSamplesOfOneFunctionStayTwoFindings) {
  std::vector<Finding> findings = {finding("cpu-hotspot", Severity::medium, 0.5, 1, {stack("cpu", 5, {"step", "simulate", "main"})}),
                                   finding("cpu-spin", Severity::low, 0.4, 1, {stack("cpu", 5, {"step", "wait", "main"})})};
  EXPECT_THAT(merge_same_cause(findings), IsEmpty());
  EXPECT_THAT(findings, SizeIs(2));
}

TEST(Merge, TimeSpentCreatingThreadsBelongsToTheChurn) {
  std::vector<Finding> findings = {finding("cpu-hotspot", Severity::medium, 0.3, 1, {stack("cpu", 4, {"clone3", "pthread_create", "spawn", "main"})}),
                                   finding("thread-churn", Severity::high, 0.3, 1, {stack("creator", 5000, {"spawn", "main"})})};
  EXPECT_THAT(absorbed(merge_same_cause(findings)), ElementsAre("cpu-hotspot into thread-churn"));
}

TEST(Merge, WorkElsewhereInTheProgramDoesNot) {
  std::vector<Finding> findings = {finding("cpu-hotspot", Severity::medium, 0.3, 1, {stack("cpu", 4, {"parse", "main"})}),
                                   finding("thread-churn", Severity::high, 0.3, 1, {stack("creator", 5000, {"spawn", "main"})})};
  EXPECT_THAT(merge_same_cause(findings), IsEmpty());
}

TEST(Merge, RemediesThatChangeDifferentThingsStay) {
  const auto samples = stack("cpu", 4, {"parse", "main"});
  std::vector<Finding> findings = {finding("cpu-hotspot", Severity::medium, 0.3, 1, {samples}), finding("cpu-single-threaded", Severity::high, 0.3, 1, {samples})};
  EXPECT_THAT(merge_same_cause(findings), IsEmpty()) << "less work and divided work are two remedies";
  EXPECT_THAT(findings, SizeIs(2));
}

TEST(Merge, WhatTheWholeProcessSuffersIsOneCause) {
  std::vector<Finding> findings = {finding("cpu-saturated", Severity::high, 0.1, 1, {stack("cpu", 4, {"a", "main"})}),
                                   finding("cpu-oversubscription", Severity::medium, 0.3, 1, {stack("cpu", 4, {"b", "main"})})};
  EXPECT_THAT(absorbed(merge_same_cause(findings)), ElementsAre("cpu-saturated into cpu-oversubscription"));
  EXPECT_EQ(findings[0].severity, Severity::high);
}

TEST(Merge, AnUnevenSplitExplainsTheThreadLeftAlone) {
  const auto samples = stack("cpu", 4, {"part", "worker"});
  std::vector<Finding> findings = {finding("cpu-single-threaded", Severity::medium, 0.3, 1, {samples}), finding("cpu-load-imbalance", Severity::high, 0.3, 1, {samples})};
  EXPECT_THAT(absorbed(merge_same_cause(findings)), ElementsAre("cpu-single-threaded into cpu-load-imbalance"));
}

TEST(Merge, FindingsOfOneRuleStay) {
  const auto samples = stack("cpu", 4, {"parse", "main"});
  std::vector<Finding> findings = {finding("cpu-hotspot", Severity::low, 0.3, 1, {samples}), finding("cpu-hotspot", Severity::low, 0.2, 1, {samples})};
  EXPECT_THAT(merge_same_cause(findings), IsEmpty());
}

TEST(Merge, SmallReadsOfAFileThatIsReadAgainAndAgainAreOneCause) {
  std::vector<Finding> findings = {finding("io-small-operations", Severity::high, 0.3, 1, {stack("blocked", 2, {"load", "main"})}),
                                   finding("io-repeated-read", Severity::medium, 0.4, 1, {stack("blocked", 3, {"load", "main"})}),
                                   finding("io-sync-flush", Severity::high, 0.2, 1, {stack("blocked", 1, {"load", "main"})})};
  for (Finding& each : findings) each.culprit.function = "load";
  EXPECT_THAT(merge_same_cause(findings), SizeIs(1));
  EXPECT_THAT(findings, SizeIs(2));
}

TEST(Merge, OfTemporariesAndCopiesTheOneThatExplainsMoreStays) {
  const auto both = [](double hotspot_seconds) {
    const auto samples = stack("cpu", 4, {"malloc", "parse", "main"});
    std::vector<Finding> findings = {finding("cpu-hotspot", Severity::high, 0.5, 1, {samples}), finding("memory-temporary-allocations", Severity::medium, 0.5, 1, {samples})};
    findings[0].cpu_seconds = hotspot_seconds, findings[1].cpu_seconds = 4;
    return findings;
  };
  std::vector<Finding> same = both(4), more = both(8);
  EXPECT_THAT(absorbed(merge_same_cause(same)), ElementsAre("cpu-hotspot into memory-temporary-allocations"));
  EXPECT_EQ(same[0].severity, Severity::high);
  EXPECT_THAT(absorbed(merge_same_cause(more)), ElementsAre("memory-temporary-allocations into cpu-hotspot"));
}

TEST(Merge, WhatAFunctionAllocatesIsPartOfWhatItDoes) {
  std::vector<Finding> findings = {finding("cpu-hotspot", Severity::high, 0.9, 1, {stack("cpu", 9, {"compile", "is_setting", "main"})}),
                                   finding("memory-temporary-allocations", Severity::medium, 0.2, 1, {stack("cpu", 2, {"malloc", "is_setting", "main"})})};
  for (Finding& each : findings) each.culprit.function = "is_setting";
  findings[0].cpu_seconds = 9, findings[1].cpu_seconds = 2;
  EXPECT_THAT(absorbed(merge_same_cause(findings)), ElementsAre("memory-temporary-allocations into cpu-hotspot"));
}

TEST(Merge, EveryRuleHasANature) {
  for (const auto& rule : registry()) EXPECT_NE(nature_of_rule(rule.id).aspect, RuleNature::other) << rule.id;
  EXPECT_EQ(nature_of_rule("no such rule").aspect, RuleNature::other);
}

TEST(Merge, SharedSamples) {
  const Finding a = finding("a", Severity::low, 0, 0, {stack("cpu", 3, {"x", "main"}), stack("cpu", 1, {"y", "main"}), stack("blocked", 9, {"z"})});
  EXPECT_DOUBLE_EQ(shared_samples(a, finding("b", Severity::low, 0, 0, {stack("cpu", 1, {"x", "main"})})), 0.75);
  EXPECT_DOUBLE_EQ(shared_samples(a, finding("b", Severity::low, 0, 0, {stack("cpu", 1, {"main"})})), 0) << "a caller's own time is not its callee's";
  EXPECT_DOUBLE_EQ(shared_samples(a, finding("b", Severity::low, 0, 0, {stack("creator", 1, {"main"})})), 1);
  EXPECT_DOUBLE_EQ(shared_samples(finding("b", Severity::low, 0, 0), a), 0);
}

TEST(Merge, AHandlerThatStandsStillIsToldByWhatItStandsStillFor) {
  const auto flush = stack("blocked", 2, {"fsync", "flush_log", "before_sleep", "main"});
  std::vector<Finding> findings = {finding("io-sync-flush", Severity::high, 0.4, 0.9, {flush}), finding("event-loop-blocked", Severity::medium, 0.2, 0.9, {flush})};
  EXPECT_THAT(absorbed(merge_same_cause(findings)), ElementsAre("event-loop-blocked into io-sync-flush"));
  EXPECT_THAT(findings[0].advice, SizeIs(2));
  findings = {finding("io-sync-flush", Severity::low, 0.04, 0.9, {flush}), finding("event-loop-blocked", Severity::high, 0.7, 0.9, {flush})};
  EXPECT_THAT(absorbed(merge_same_cause(findings)), ElementsAre("io-sync-flush into event-loop-blocked"));
}

TEST(Merge, AHandlerThatComputesIsNoHotspotBeside) {
  const auto work = stack("cpu", 2, {"match", "list_keys", "main"});
  std::vector<Finding> findings = {finding("cpu-hotspot", Severity::medium, 0.4, 0.6, {work}), finding("event-loop-blocked", Severity::high, 0.2, 0.9, {work})};
  EXPECT_THAT(absorbed(merge_same_cause(findings)), ElementsAre("cpu-hotspot into event-loop-blocked"));
  findings = {finding("cpu-hotspot", Severity::medium, 0.4, 0.6, {stack("cpu", 2, {"write", "answer", "main"})}), finding("event-loop-blocked", Severity::high, 0.2, 0.9, {work})};
  EXPECT_THAT(absorbed(merge_same_cause(findings)), IsEmpty());
}

}  // namespace
}  // namespace tailback::analyzers
