// SPDX-License-Identifier: Apache-2.0
// Two small writes, then a read: Nagle's algorithm holds the second write back until the first is acknowledged, and the other
// side delays that by 40 ms (or 200). Told by turns of just that length after more than one small write.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzers/rules/call_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

constexpr double kFewestTurns = 5;
constexpr double kQuickTurn = 0.0005;   // seconds: no turn takes less
constexpr double kLongestQuick = 0.030; // slower ordinary turns say nothing about what remains
// How long Linux holds an acknowledgement back (TCP_DELACK_MIN, TCP_DELACK_MAX in net/tcp.h), to the next tick of its timers (4 ms).
constexpr double kShortDelay = 0.040, kLongDelay = 0.200, kTick = 0.004;
constexpr double kLongTurns = 0.1;      // seconds a turn: from here on it was the long one

// Delayed turns that one function of the program causes, with one peer or several.
struct Delay {
  std::vector<const EndpointTotals*> peers;
  double turns = 0, seconds = 0, saved = 0, surely = 0, all_turns = 0;  // saved: as expected; surely: at least
  CallPlace writes;              // on the connections
  Frame culprit;
  std::map<ThreadId, double> saved_by_thread;

  double ordinary() const { return (seconds - saved) / std::max(turns, 1.0); }  // what such a turn takes otherwise
};

Delay delay_of(const Model& model, const EndpointTotals& totals) {
  Delay delay{{&totals}};
  if (!totals.turns || (model.recording.calls.endpoints[totals.endpoint].flags & trace::kNoDelay)) return delay;
  const TurnRow& turns = *totals.turns;
  delay.turns = static_cast<double>(turns.delayed_turns);
  delay.seconds = static_cast<double>(turns.delayed_ns) * 1e-9;
  delay.all_turns = static_cast<double>(turns.turns);
  const double others = delay.all_turns - delay.turns;
  const double mean = others > 0 ? std::max(0.0, static_cast<double>(turns.turn_ns) * 1e-9 - delay.seconds) / others : 0;
  const double delayed = delay.seconds / std::max(delay.turns, 1.0), held_back = delayed >= kLongTurns ? kLongDelay : kShortDelay;
  const bool seen = others >= kFewestTurns && mean < kLongestQuick;
  const double ordinary = std::max(kQuickTurn, seen ? mean : delayed - held_back - kTick / 2);
  delay.saved = std::max(0.0, delay.seconds - delay.turns * ordinary);
  delay.surely = std::min(delay.saved, delay.turns * held_back);
  return delay;
}

// Where the write before the delayed one was made: the place that wrote most often beside it.
StackId other_write(const Delay& delay, StackId delayed) {
  const CallSite* most = nullptr;
  for (const CallSite* site : delay.writes.sites)
    if (site->stack && site->stack != delayed && (!most || site->calls > most->calls)) most = site;
  return most ? most->stack : delayed;
}

// The thread that waits for the answers is the one that talks on the connections.
void find_threads(const Model& model, Delay& delay) {
  const std::uint64_t peer = delay.peers.front()->endpoint;
  const auto talks = [&](const CallSite& site) {
    const trace::CallGroup group = trace::group_of(site.key.call);
    return site.key.object == peer && (group == trace::CallGroup::output || group == trace::CallGroup::input);
  };
  std::map<ThreadId, double> weights;
  double all = 0;
  for (const CallSite& site : model.waits.sites)
    if (talks(site)) weights[site.key.thread] += site.calls, all += site.calls;
  for (const auto& [thread, calls] : weights) delay.saved_by_thread[thread] = delay.saved * calls / std::max(all, 1.0);
  const auto writes = [&](const CallSite& site) { return talks(site) && trace::group_of(site.key.call) == trace::CallGroup::output; };
  for (const CallPlace& place : places_of(model, writes)) delay.writes.add(place), delay.culprit = delay.culprit.function.empty() ? place.culprit : delay.culprit;
  if (const StackId stack = delay.peers.front()->turns->delayed_stack) delay.culprit = where_they_meet(model, stack, other_write(delay, stack));
}

// One suggestion for each function that writes so, whatever the number of peers.
void join(std::vector<Delay>& joined, Delay&& delay) {
  const auto same = [&](const Delay& other) { return !delay.culprit.function.empty() && other.culprit.function == delay.culprit.function && other.culprit.module == delay.culprit.module; };
  const auto known = std::find_if(joined.begin(), joined.end(), same);
  if (known == joined.end()) return joined.push_back(std::move(delay));
  known->peers.push_back(delay.peers.front());
  known->turns += delay.turns, known->seconds += delay.seconds, known->saved += delay.saved, known->surely += delay.surely, known->all_turns += delay.all_turns;
  known->writes.add(delay.writes);
  for (const auto& [thread, seconds] : delay.saved_by_thread) known->saved_by_thread[thread] += seconds;
}

Gain gain_of(const Model& model, const Delay& delay) {
  const double saved = std::max(delay.saved, 1e-9);
  WaitSaving saving{delay.saved_by_thread, std::min(0.9, delay.surely / saved), std::max(1.0, (delay.seconds - delay.turns * kQuickTurn) / saved), ""};
  saving.why = fmt::format("{:.0f} delayed turns of {}, less {} that such a turn takes otherwise", delay.turns, duration(delay.seconds / delay.turns), duration(delay.ordinary()));
  return gain_of_waiting(model, saving);
}

Finding finding_of(const Model& model, const Delay& delay, Gain gain) {
  std::string name = endpoint_name(model.recording.calls.endpoints[delay.peers.front()->endpoint]);
  if (delay.peers.size() > 1) name += fmt::format(" and {}", plural(delay.peers.size() - 1, "other peer"));
  const StackId stack = delay.peers.front()->turns->delayed_stack;
  const double turns = std::max(delay.all_turns, 1.0);
  Finding finding;
  finding.severity = severity_by_part(gain.fraction);
  finding.gain = std::move(gain);
  finding.confidence = delay.turns >= 0.5 * turns ? 0.9 : 0.7;
  finding.culprit = delay.culprit;
  const std::string where = finding.culprit.function.empty() ? "where the request is sent" : "in " + finding.culprit.function;
  finding.title = fmt::format("{:.0f} answers of {} came {} late, since a second small write{} waits for a delayed acknowledgement", delay.turns, name,
                              duration(delay.seconds / delay.turns), in_function(finding.culprit));
  finding.evidence = {text_evidence("peer", name), count_evidence("delayed turns", delay.turns, "count"), fraction_evidence("of all turns", std::min(1.0, delay.turns / turns)),
                      seconds_evidence("time in them", delay.seconds), seconds_evidence("one delayed turn, mean", delay.seconds / delay.turns),
                      seconds_evidence("an ordinary turn", delay.ordinary())};
  if (stack) finding.stacks = {{"blocked", delay.seconds, "seconds", model.symbols->stack(stack)}};
  else finding.stacks = blocked_stacks(model, delay.writes, 2);
  finding.advice = {fmt::format("{}: send header and body with one writev (or sendmsg, or from one buffer), so that there is no second small write", where),
                    "or set TCP_NODELAY on the socket once, after it is connected"};
  finding.verify = fmt::format("{}; turns with {} should fall from {} to about {}", record_again(model), name, duration(delay.seconds / delay.turns), duration(delay.ordinary()));
  return finding;
}

}  // namespace

RuleResult net_delayed_ack(const Model& model) {
  if (!model.waits.missing.empty()) return RuleResult::cannot(model.waits.missing);
  RuleResult result;
  double turns = 0, delayed = 0;
  std::size_t looked_at = 0;
  std::vector<Delay> delays;
  for (const EndpointTotals& totals : model.waits.endpoints) {
    Delay delay = delay_of(model, totals);
    turns += totals.turns ? static_cast<double>(totals.turns->turns) : 0, delayed += delay.turns;
    if (delay.turns < kFewestTurns || delay.seconds < 0.01 * model.timeline.wall_seconds || looked_at++ >= kMostPlaces) continue;
    find_threads(model, delay);
    join(delays, std::move(delay));
  }
  for (const Delay& delay : delays) {
    Gain gain = gain_of(model, delay);
    if (severity_by_part(gain.fraction) != Severity::info) result.findings.push_back(finding_of(model, delay, std::move(gain)));
  }
  result.fine = turns > 0 ? fmt::format("{:.0f} of {:.0f} turns on connections look like a delayed acknowledgement", delayed, turns) : "no requests were seen on connections";
  return result;
}

}  // namespace tailback::analyzers
