// SPDX-License-Identifier: Apache-2.0
// Memory that still grows steadily after the warm-up although nothing says that it is lost: containers that only ever take in, and
// blocks that are never freed. Whether they are still of use the sums do not tell, and the words do not claim it. A program that grows
// with its input and ends is left alone.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/rules/growing_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

constexpr double kHour = 3600;
constexpr Urgency kUrgency{7 * 24 * kHour, kHour};
constexpr std::size_t kMostFindings = 3;

// A bound is set somewhere below what it holds now; what it held after the warm-up is the best guess at it.
Gain gain_of(const Model& model, const GrowingPlace& growing) {
  const HeapPlace& place = growing.place;
  const double resident = std::max(peak_resident(model), 1.0), mean = std::max(place.mean_size(), 1.0);
  const double grown = growing.growth.grown(), all = place.live_now();
  Gain gain;
  gain.metric = "memory";
  gain.fraction = footprint(model, grown, grown / mean) / resident;
  gain.low = 0.5 * grown / resident;
  gain.high = footprint(model, all, all / mean) / resident;
  gain.how = fmt::format("what was added after the warm-up ({}, {}) with the allocator's headers, as a part of what was resident; low bound: half of it is needed, high bound: none of "
                         "all that the place holds",
                         bytes_text(grown), how_known(model));
  return bounded(gain);
}

std::string title_of(const Model& model, const GrowingPlace& growing) {
  const HeapPlace& place = growing.place;
  const double rate = growing.growth.per_second;
  const char* what = place.in_container ? "adds to a container without an end" : growing.fate == Fate::kept ? "keeps what it allocates to the end" : "allocates what is never freed";
  std::string title = fmt::format("{} {}: {} after {}, growing by {}", place.culprit.function, what, bytes_text(place.live_now()), duration(growing.growth.to), each_second(rate));
  const MemoryLimit limit = memory_limit(model);
  if (const auto left = seconds_left(limit, rate); left && *left < 30 * 24 * kHour) title += fmt::format("; {} is used up in {}", limit.name(), long_duration(*left));
  return title;
}

std::vector<std::string> advice_for(const GrowingPlace& growing) {
  const HeapPlace& place = growing.place;
  std::vector<std::string> advice;
  if (place.in_container || growing.fate == Fate::kept)
    advice.push_back(fmt::format("give it a bound: evict the oldest or least used beyond a number of entries ({} each on average), or after a time; it holds about {:.0f} now", bytes_text(place.mean_size()),
                                 std::round(place.live_now() / std::max(place.mean_size(), 1.0))));
  else
    advice.push_back("find out who holds these blocks: when nobody does any more it is a leak, to be freed by an owner; when a table does, give it a bound");
  if (growing.freed_part >= 0.01) advice.push_back(fmt::format("{} of what is allocated here is freed: see why the others stay (sessions never closed, keys never asked for again)", percent(growing.freed_part)));
  else advice.push_back("when it is meant to hold everything, its size follows the work: plan memory for that, or keep the data in a file or a database");
  return advice;
}

Finding finding_of(const Model& model, const GrowingPlace& growing) {
  const HeapPlace& place = growing.place;
  Finding finding;
  finding.severity = severity_of_growth(model, growing.growth.per_second, growing.growth.grown(), kUrgency);
  finding.confidence = growing.fate == Fate::kept ? 0.75 : 0.6;
  finding.gain = gain_of(model, growing);
  finding.culprit = place.culprit;
  finding.title = title_of(model, growing);
  finding.evidence = growth_evidence(model, growing);
  finding.stacks = allocation_stacks(model, place, 2);
  finding.advice = advice_for(growing);
  finding.verify = fmt::format("{} for longer; the bytes alive from {} should level off", record_again(model), place.culprit.function);
  return finding;
}

}  // namespace

RuleResult memory_growth(const Model& model) {
  const GrowingPlaces growing = growing_places(model);
  if (!growing.missing.empty()) return RuleResult::cannot(growing.missing);
  RuleResult result;
  const bool may_follow_input = !runs_on(model);
  for (const GrowingPlace& one : growing.places)
    if (one.fate != Fate::lost && !may_follow_input && result.findings.size() < kMostFindings) result.findings.push_back(finding_of(model, one));
  if (growing.places.empty()) result.fine = "no place of allocation grew through the whole recording";
  else result.fine = may_follow_input ? "memory grew, and the program ended: it may be its input; record with --alloc exact to know whether anything still referred to it" : "what grew is explained by memory-leak";
  return result;
}

}  // namespace tailback::analyzers
