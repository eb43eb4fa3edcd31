// SPDX-License-Identifier: Apache-2.0
// Puts findings into the order in which a person should take them up, and joins those that have one root cause: the same
// samples (or the same place) seen by two rules whose remedies change the same thing. Adds no judgement of its own.
#pragma once
#include <string>
#include <vector>

#include "analyzers/finding.h"

namespace tailback::analyzers {

// What the remedy of a rule changes, and how much its diagnosis says: of two findings with one cause the more specific stays.
struct RuleNature {
  enum Aspect { work, threads, division, transfer, own, other } aspect = other;  // own: what no other rule's remedy changes
  int specificity = 0;
  bool whole_process = false;  // the cause is no single place: two such findings of one aspect always have one cause
  bool by_part = false;        // part of the work of its culprit: stays only where it explains most of the CPU time that a finding about all of it does
};
RuleNature nature_of_rule(const std::string& rule);

struct Absorbed {
  std::string rule, into;  // a finding of `rule` became part of one of `into`
};

// Joins; the more specific finding keeps its diagnosis and names the other in its evidence.
std::vector<Absorbed> merge_same_cause(std::vector<Finding>& findings);

// Severity, then gain times confidence, then the rule's and culprit's names so that equal input gives equal output.
void rank(std::vector<Finding>& findings);

// Part of the weight of `a`'s stacks that also stands behind `b`: the same stack, or one below b's creator stack.
double shared_samples(const Finding& a, const Finding& b);

}  // namespace tailback::analyzers
