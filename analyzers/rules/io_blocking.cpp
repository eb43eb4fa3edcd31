// SPDX-License-Identifier: Apache-2.0
// A thread stands still in reads of files, metadata, file locks or name lookups while it has work to do; or an event loop does
// so at all, and everything behind it waits. Flushes, sleeps and slow peers have rules of their own.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzers/model/thread_load.h"
#include "analyzers/rules/call_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

using trace::CallGroup;

constexpr std::size_t kMostFindings = 3;
constexpr double kFewestSeconds = 0.05;
constexpr double kMostlyBlock = 0.5, kLargeRead = 65536;  // of the calls; bytes: beyond, storage is as busy as it can be

enum class Remedy { overlap, offload, keep_answer };

struct Obstacle {
  CallPlace place;
  WaitCause cause = WaitCause::disk;
  bool in_loop = false;     // the thread is an event loop
  std::map<ThreadId, double> waited;
};

WaitCause cause_at(const Model& model, const CallSite& site) { return cause_of(site.key.call, endpoint_of(model, site).kind); }

bool in_event_loop(const Model& model, const CallSite& site) {
  const ThreadWaits* thread = model.waits.find(site.key.thread);
  return thread && thread->role == ThreadRole::event_loop;
}

// Whether the thread stood still in it, for a cause this rule is about.
bool is_obstacle(const Model& model, const CallSite& site, bool in_loop) {
  if (site.blocked_seconds <= 0 || trace::group_of(site.key.call) == CallGroup::flush || in_event_loop(model, site) != in_loop) return false;
  const WaitCause cause = cause_at(model, site);
  if (cause == WaitCause::disk || cause == WaitCause::lookup || cause == WaitCause::file_lock) return true;
  if (cause == WaitCause::pipe && trace::group_of(site.key.call) == CallGroup::input && is_answered_by_child(model.recording, site.key.object)) return true;
  const bool may_wait = !(endpoint_of(model, site).flags & trace::kNonBlocking);
  return in_loop && may_wait && (cause == WaitCause::child || (cause == WaitCause::network && site.key.call != trace::Call::accept));
}

using ByThreadAndCause = std::map<std::pair<ThreadId, WaitCause>, double>;

// Time in calls by cause as the calls claim it; the threads' clocks may leave less of it to be waiting.
ByThreadAndCause claimed_times(const Model& model) {
  ByThreadAndCause claimed;
  for (const CallSite& site : model.waits.sites) claimed[{site.key.thread, cause_at(model, site)}] += site.blocked_seconds;
  return claimed;
}

double waiting_part(const Model& model, const ByThreadAndCause& claimed, const CallSite& site) {
  const WaitCause cause = cause_at(model, site);
  const ThreadWaits* waits = model.waits.find(site.key.thread);
  const auto known = claimed.find({site.key.thread, cause});
  if (!waits || known == claimed.end() || known->second <= 0) return 1;
  return std::min(1.0, waits->blocked[static_cast<std::size_t>(cause)] / known->second);
}

std::vector<Obstacle> obstacles_of(const Model& model) {
  std::vector<Obstacle> obstacles;
  const ByThreadAndCause claimed = claimed_times(model);
  for (const bool in_loop : {true, false}) {
    for (CallPlace& place : places_of(model, [&](const CallSite& site) { return is_obstacle(model, site, in_loop); })) {
      if (place.blocked_seconds < kFewestSeconds) continue;
      Obstacle obstacle{std::move(place), WaitCause::disk, in_loop, {}};
      obstacle.cause = cause_at(model, *obstacle.place.sites.front());
      for (const CallSite* site : obstacle.place.sites) obstacle.waited[site->key.thread] += waiting_part(model, claimed, *site) * site->blocked_seconds;
      obstacles.push_back(std::move(obstacle));
    }
  }
  return obstacles;
}

Remedy remedy_of(const Obstacle& obstacle) {
  if (obstacle.cause == WaitCause::lookup) return Remedy::keep_answer;
  return obstacle.in_loop ? Remedy::offload : Remedy::overlap;
}

// Fetched ahead while the thread computes, waiting vanishes as far as there is computing to hide it behind.
Gain gain_of(const Model& model, const Obstacle& obstacle) {
  WaitSaving saving{obstacle.waited, 0.8, 1, ""};
  saving.why = remedy_of(obstacle) == Remedy::keep_answer ? "time in name lookups, which an answer kept would save" : "time that the event loop stood still in the calls";
  if (remedy_of(obstacle) != Remedy::overlap) return gain_of_waiting(model, saving);
  double whole = saving.total(), hidden = 0;
  for (auto& [thread, seconds] : saving.seconds) {
    const ThreadWaits* waits = model.waits.find(thread);
    seconds = std::min(seconds, waits ? waits->running : 0);
    hidden += seconds;
  }
  saving.low = 0;
  saving.high = hidden > 0 ? whole / hidden : 1;
  saving.why = "the waiting that can be hidden behind computing by fetching ahead; more where several requests at a time make storage faster, nothing where each depends on the one before";
  return gain_of_waiting(model, saving);
}

std::vector<std::string> advice_for(const Obstacle& obstacle) {
  switch (remedy_of(obstacle)) {
    case Remedy::keep_answer: return {"resolve each name once and keep the addresses for as long as they live, or resolve in another thread (getaddrinfo_a, c-ares)"};
    case Remedy::offload: return {"hand the call to a small pool of threads (or io_uring) and let its completion wake the loop through an eventfd",
                                  "make sockets non-blocking, so that the loop learns from epoll when they are ready"};
    case Remedy::overlap: break;
  }
  if (obstacle.cause == WaitCause::pipe) return {"ask the child for the next answer before working on the last one, or keep several requests on their way", "let a second thread read the answers while this one works"};
  if (obstacle.cause == WaitCause::file_lock) return {"hold the lock for shorter stretches, or lock a range or a file of its own for each writer"};
  return {"ask for the data before it is needed: posix_fadvise(POSIX_FADV_WILLNEED), readahead, a reader thread, or io_uring with several requests in flight",
          "read in larger pieces and in order of the file, so that the kernel's read-ahead applies"};
}

std::vector<Evidence> evidence_of(const Model& model, const Obstacle& obstacle, double seconds) {
  std::vector<Evidence> evidence = {text_evidence("waits for", to_string(obstacle.cause)), seconds_evidence("time blocked", seconds)};
  double calls = 0, longest = 0;
  for (const CallSite* site : obstacle.place.sites) calls += site->blocked_calls, longest = std::max(longest, site->longest);
  evidence.push_back(count_evidence("calls that blocked", std::round(calls), "count"));
  evidence.push_back(seconds_evidence("longest", longest));
  const auto files = seconds_by_endpoint(model, obstacle.place);
  for (std::size_t i = 0; i < std::min<std::size_t>(files.size(), 3); ++i)
    evidence.push_back(text_evidence(i ? "also" : "on", fmt::format("{} ({})", endpoint_name(model.recording.calls.endpoints[files[i].first]), duration(files[i].second))));
  return evidence;
}

// Reading in order is read ahead by the kernel already, and large reads keep storage busy: little is left to gain then.
Severity severity_of(const Obstacle& obstacle, double part) {
  const Severity severity = severity_by_part(part);
  if (remedy_of(obstacle) != Remedy::overlap) return severity;
  double blocked = 0;
  for (const CallSite* site : obstacle.place.sites) blocked += site->blocked_calls;
  const bool one_by_one = blocked >= kMostlyBlock * obstacle.place.calls && obstacle.place.bytes <= kLargeRead * obstacle.place.calls;
  return std::min(severity, one_by_one ? Severity::medium : Severity::low);
}

Finding finding_of(const Model& model, const Obstacle& obstacle, Gain gain) {
  double seconds = 0;
  for (const auto& [thread, part] : obstacle.waited) seconds += part;
  const std::string who = obstacle.waited.size() == 1 ? thread_label(model, obstacle.waited.begin()->first) : plural(obstacle.waited.size(), "thread");
  Finding finding;
  finding.severity = severity_of(obstacle, std::min(gain.fraction, seconds / model.timeline.wall_seconds));
  finding.gain = std::move(gain);
  finding.confidence = obstacle.in_loop ? 0.8 : 0.6;
  finding.culprit = obstacle.place.culprit;
  finding.title = fmt::format("{}{} blocked{} by {} for {} ({} of wall time)", obstacle.in_loop ? "the event loop of " : "", who, in_function(obstacle.place.culprit),
                              to_string(obstacle.cause), duration(seconds), percent(seconds / model.timeline.wall_seconds));
  finding.evidence = evidence_of(model, obstacle, seconds);
  finding.stacks = blocked_stacks(model, obstacle.place, 2);
  finding.advice = advice_for(obstacle);
  finding.verify = fmt::format("{}; the time blocked{} should fall from {}", record_again(model), in_function(obstacle.place.culprit), duration(seconds));
  return finding;
}

}  // namespace

RuleResult io_blocking(const Model& model) {
  if (!model.waits.missing.empty()) return RuleResult::cannot(model.waits.missing);
  RuleResult result;
  double seconds = 0;
  for (const Obstacle& obstacle : obstacles_of(model)) {
    for (const auto& [thread, part] : obstacle.waited) seconds += part;
    Gain gain = gain_of(model, obstacle);
    if (result.findings.size() < kMostFindings && severity_by_part(gain.fraction) != Severity::info) result.findings.push_back(finding_of(model, obstacle, std::move(gain)));
  }
  result.fine = fmt::format("threads were blocked by files, file locks, name lookups and children's pipes for {}", duration(seconds));
  return result;
}

}  // namespace tailback::analyzers
