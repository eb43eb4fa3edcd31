// SPDX-License-Identifier: Apache-2.0
#include "analyzers/rank.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace tailback::analyzers {

namespace {

constexpr double kSameSamples = 0.5;

bool same_addresses(const Frame& a, const Frame& b) { return a.address == b.address && a.function == b.function; }

bool is_sampled(const StackEvidence& stack) { return stack.role == "cpu"; }

// Whether `stack` ends in the frames of `outer`: it was called from there.
bool called_from(const StackEvidence& stack, const StackEvidence& outer) {
  return !outer.frames.empty() && stack.frames.size() >= outer.frames.size() &&
         std::equal(outer.frames.rbegin(), outer.frames.rend(), stack.frames.rbegin(), same_addresses);
}

bool stands_behind(const StackEvidence& stack, const StackEvidence& other) {
  if (other.role == "creator") return called_from(stack, other);
  return is_sampled(other) && stack.frames.size() == other.frames.size() && called_from(stack, other);
}

bool has_samples(const Finding& finding) { return std::any_of(finding.stacks.begin(), finding.stacks.end(), is_sampled); }

bool same_place(const Finding& a, const Finding& b) {
  return !a.culprit.function.empty() && a.culprit.function == b.culprit.function && a.culprit.module == b.culprit.module;
}

bool is_of_loop(const Finding& finding) { return finding.rule == "event-loop-blocked"; }

bool stands_still(const StackEvidence& stack) { return stack.role == "blocked" || stack.role == "waiter"; }

// The handler of a loop stands still where another rule says what it stands still for.
bool stands_still_there(const Finding& loop, const Finding& other) {
  double all = 0, there = 0;
  for (const StackEvidence& stack : loop.stacks) {
    all += stack.weight;
    const auto same = [&](const StackEvidence& one) { return stands_still(one) && one.frames.size() == stack.frames.size() && called_from(stack, one); };
    if (stands_still(stack) && std::any_of(other.stacks.begin(), other.stacks.end(), same)) there += stack.weight;
  }
  return all > 0 && there >= kSameSamples * all;
}

// That rule's remedy is the nearer one, unless it hardly matters by what it sees.
bool gives_way(const Finding& loop, const Finding& other) {
  return is_of_loop(loop) && !is_of_loop(other) && other.severity >= loop.severity && stands_still_there(loop, other);
}

// Threads that spin until the one with most work is done, would not where all had as much.
bool spins_for(const Finding& spin, const Finding& uneven) {
  return spin.rule == "cpu-spin" && uneven.rule == "cpu-load-imbalance" && shared_samples(spin, uneven) >= kSameSamples;
}

bool one_cause(const Finding& a, const Finding& b) {
  if (spins_for(a, b) || spins_for(b, a)) return true;
  if (is_of_loop(a) != is_of_loop(b) && stands_still_there(is_of_loop(a) ? a : b, is_of_loop(a) ? b : a)) return true;
  const RuleNature first = nature_of_rule(a.rule), second = nature_of_rule(b.rule);
  if (a.rule == b.rule || first.aspect >= RuleNature::own || first.aspect != second.aspect) return false;
  if (first.whole_process && second.whole_process) return true;
  if (first.by_part != second.by_part && same_place(a, b)) return true;  // what a function allocates is part of what it does
  if (has_samples(a) && has_samples(b)) return std::max(shared_samples(a, b), shared_samples(b, a)) >= kSameSamples;
  const double shared = has_samples(a) ? shared_samples(a, b) : shared_samples(b, a);
  return shared >= kSameSamples || (!has_samples(a) && !has_samples(b) && same_place(a, b));
}

bool says_more(const Finding& a, const Finding& b) {
  const int first = nature_of_rule(a.rule).specificity, second = nature_of_rule(b.rule).specificity;
  return std::tie(second, b.severity) < std::tie(first, a.severity);
}

// The specific finding explains only some of the time that the other one does: its remedy would leave the rest.
bool is_small_part(const Finding& specific, const Finding& whole) {
  constexpr double kMostOfIt = 0.75;
  return nature_of_rule(specific.rule).by_part && !nature_of_rule(whole.rule).by_part && specific.cpu_seconds < kMostOfIt * whole.cpu_seconds;
}

void absorb(Finding& into, const Finding& from) {
  into.severity = std::max(into.severity, from.severity);
  into.evidence.push_back({"seen as well as " + from.rule, from.title, ""});
  for (const auto& advice : from.advice)
    if (std::find(into.advice.begin(), into.advice.end(), advice) == into.advice.end()) into.advice.push_back(advice);
}

}  // namespace

RuleNature nature_of_rule(const std::string& rule) {
  static const std::map<std::string, RuleNature, std::less<>> natures = {
      {"cpu-hotspot", {RuleNature::work, 0}},
      {"thread-churn", {RuleNature::work, 1}},
      {"event-loop-blocked", {RuleNature::work, 9}},
      {"cpu-spin", {RuleNature::work, 2}},
      {"cpu-saturated", {RuleNature::threads, 0, true}},
      {"cpu-oversubscription", {RuleNature::threads, 1, true}},
      {"cpu-single-threaded", {RuleNature::division, 0}},
      {"cpu-load-imbalance", {RuleNature::division, 1}},
      {"memory-allocation-hotspot", {RuleNature::work, 3, false, true}},
      {"memory-temporary-allocations", {RuleNature::work, 4, false, true}},
      {"memory-realloc-growth", {RuleNature::work, 5, false, true}},
      {"memory-page-fault-storm", {RuleNature::work, 6, false, true}},
      {"memory-allocator-contention", {RuleNature::work, 7, false, true}},
      {"io-blocking", {RuleNature::transfer, 0}},
      {"io-small-operations", {RuleNature::transfer, 1}},
      {"io-repeated-read", {RuleNature::transfer, 2}},
      {"io-sync-flush", {RuleNature::own}},
      {"sleep-polling", {RuleNature::own}},
      {"net-connection-churn", {RuleNature::own}},
      {"net-delayed-ack", {RuleNature::own}},
      {"net-slow-peer", {RuleNature::own}},
      {"lock-contention", {RuleNature::own}},
      {"lock-long-hold", {RuleNature::own}},
      {"lock-overuse", {RuleNature::work, 8}},
      {"lock-wake-storm", {RuleNature::threads, 2, true}},
      {"lock-order-inversion", {RuleNature::own}},
      {"deadlock", {RuleNature::own}},
      {"pool-deadlock", {RuleNature::own}},
      {"pool-saturated", {RuleNature::own}},
      {"pool-blocking-task", {RuleNature::own}},
      {"pool-imbalance", {RuleNature::division, 2}},
      {"pool-oversized", {RuleNature::own}},
      {"task-queue-wait", {RuleNature::own}},
      {"pause", {RuleNature::own}},
      {"memory-leak", {RuleNature::own}},
      {"memory-growth", {RuleNature::own}},
      {"memory-peak", {RuleNature::own}},
      {"memory-fragmentation", {RuleNature::own}},
      {"memory-pressure", {RuleNature::own}},
  };
  const auto known = natures.find(rule);
  return known == natures.end() ? RuleNature{} : known->second;
}

double shared_samples(const Finding& a, const Finding& b) {
  double all = 0, shared = 0;
  for (const auto& stack : a.stacks) {
    if (!is_sampled(stack)) continue;
    all += stack.weight;
    const bool behind = std::any_of(b.stacks.begin(), b.stacks.end(), [&](const auto& other) { return stands_behind(stack, other); });
    if (behind) shared += stack.weight;
  }
  return all > 0 ? shared / all : 0;
}

std::vector<Absorbed> merge_same_cause(std::vector<Finding>& findings) {
  std::vector<Absorbed> absorbed;
  std::stable_sort(findings.begin(), findings.end(), says_more);
  std::vector<Finding> kept;
  for (Finding& finding : findings) {
    std::erase_if(kept, [&](const Finding& other) {
      if (!one_cause(other, finding) || !(is_small_part(other, finding) || gives_way(other, finding) || spins_for(other, finding))) return false;
      absorbed.push_back({other.rule, finding.rule});
      absorb(finding, other);
      return true;
    });
    const auto cause = std::find_if(kept.begin(), kept.end(), [&](const Finding& other) { return one_cause(other, finding); });
    if (cause == kept.end()) {
      kept.push_back(std::move(finding));
      continue;
    }
    absorbed.push_back({finding.rule, cause->rule});
    absorb(*cause, finding);
  }
  findings = std::move(kept);
  return absorbed;
}

void rank(std::vector<Finding>& findings) {
  const auto worth = [](const Finding& finding) { return finding.gain.fraction * finding.confidence; };
  std::stable_sort(findings.begin(), findings.end(), [&](const Finding& a, const Finding& b) {
    return std::tuple(b.severity, worth(b), a.rule, a.culprit.function) < std::tuple(a.severity, worth(a), b.rule, b.culprit.function);
  });
}

}  // namespace tailback::analyzers
