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
constexpr double kQuickTurn = 0.0005;   // seconds, where no other turns were seen
constexpr double kLongestQuick = 0.030; // slower ordinary turns say nothing about what remains

struct Delay {
  const EndpointTotals* peer = nullptr;
  double turns = 0, seconds = 0, ordinary = kQuickTurn;
  CallPlace writes;   // on the connections to it
  std::map<ThreadId, double> saved;
};

Delay delay_of(const Model& model, const EndpointTotals& totals) {
  Delay delay{&totals};
  if (!totals.turns || (model.recording.calls.endpoints[totals.endpoint].flags & trace::kNoDelay)) return delay;
  const TurnRow& turns = *totals.turns;
  delay.turns = static_cast<double>(turns.delayed_turns);
  delay.seconds = static_cast<double>(turns.delayed_ns) * 1e-9;
  const double others = static_cast<double>(turns.turns) - delay.turns;
  const double mean = others > 0 ? std::max(0.0, static_cast<double>(turns.turn_ns) * 1e-9 - delay.seconds) / others : kQuickTurn;
  if (others >= kFewestTurns && mean < kLongestQuick) delay.ordinary = mean;
  return delay;
}

// The thread that waits for the answers is the one that writes; by time in its calls on the connections.
void find_threads(const Model& model, Delay& delay) {
  const auto talks = [&](const CallSite& site) {
    const trace::CallGroup group = trace::group_of(site.key.call);
    return site.key.object == delay.peer->endpoint && (group == trace::CallGroup::output || group == trace::CallGroup::input);
  };
  std::map<ThreadId, double> weights;
  double all = 0;
  for (const CallSite& site : model.waits.sites)
    if (talks(site)) weights[site.key.thread] += site.calls, all += site.calls;
  const double saved = std::max(0.0, delay.seconds - delay.turns * delay.ordinary);
  for (const auto& [thread, calls] : weights) delay.saved[thread] = saved * calls / std::max(all, 1.0);
  const auto writes = [&](const CallSite& site) { return talks(site) && trace::group_of(site.key.call) == trace::CallGroup::output; };
  for (const CallPlace& place : places_of(model, writes)) {
    if (delay.writes.culprit.function.empty()) delay.writes.culprit = place.culprit;
    delay.writes.add(place);
  }
}

Gain gain_of(const Model& model, const Delay& delay) {
  WaitSaving saving{delay.saved, 0.9, 1.05, ""};
  saving.why = fmt::format("{:.0f} delayed turns of {}, less {} that such a turn takes otherwise", delay.turns, duration(delay.seconds / delay.turns), duration(delay.ordinary));
  return gain_of_waiting(model, saving);
}

Finding finding_of(const Model& model, const Delay& delay, Gain gain) {
  const std::string name = endpoint_name(model.recording.calls.endpoints[delay.peer->endpoint]);
  const StackId stack = delay.peer->turns->delayed_stack;
  const double turns = static_cast<double>(std::max<std::uint64_t>(1, delay.peer->turns->turns));
  Finding finding;
  finding.severity = severity_by_part(gain.fraction);
  finding.gain = std::move(gain);
  finding.confidence = delay.turns >= 0.5 * turns ? 0.9 : 0.7;
  finding.culprit = stack ? own_frame(model, stack) : delay.writes.culprit;
  const std::string where = finding.culprit.function.empty() ? "where the request is sent" : "in " + finding.culprit.function;
  finding.title = fmt::format("{:.0f} answers of {} came {} late, since a second small write{} waits for a delayed acknowledgement", delay.turns, name,
                              duration(delay.seconds / delay.turns), in_function(finding.culprit));
  finding.evidence = {text_evidence("peer", name), count_evidence("delayed turns", delay.turns, "count"), fraction_evidence("of all turns", std::min(1.0, delay.turns / turns)),
                      seconds_evidence("time in them", delay.seconds), seconds_evidence("one delayed turn, mean", delay.seconds / delay.turns),
                      seconds_evidence("an ordinary turn", delay.ordinary)};
  if (stack) finding.stacks = {{"blocked", delay.seconds, "seconds", model.symbols->stack(stack)}};
  else finding.stacks = blocked_stacks(model, delay.writes, 2);
  finding.advice = {fmt::format("{}: send header and body with one writev (or sendmsg, or from one buffer), so that there is no second small write", where),
                    "or set TCP_NODELAY on the socket once, after it is connected"};
  finding.verify = fmt::format("{}; turns with {} should fall from {} to about {}", record_again(model), name, duration(delay.seconds / delay.turns), duration(delay.ordinary));
  return finding;
}

}  // namespace

RuleResult net_delayed_ack(const Model& model) {
  if (!model.waits.missing.empty()) return RuleResult::cannot(model.waits.missing);
  RuleResult result;
  double turns = 0, delayed = 0;
  std::size_t looked_at = 0;
  for (const EndpointTotals& totals : model.waits.endpoints) {
    Delay delay = delay_of(model, totals);
    turns += totals.turns ? static_cast<double>(totals.turns->turns) : 0, delayed += delay.turns;
    if (delay.turns < kFewestTurns || delay.seconds < 0.01 * model.timeline.wall_seconds || looked_at++ >= kMostPlaces) continue;
    find_threads(model, delay);
    Gain gain = gain_of(model, delay);
    if (severity_by_part(std::max(gain.fraction, gain.high / 2)) != Severity::info) result.findings.push_back(finding_of(model, delay, std::move(gain)));
  }
  result.fine = turns > 0 ? fmt::format("{:.0f} of {:.0f} turns on connections look like a delayed acknowledgement", delayed, turns) : "no requests were seen on connections";
  return result;
}

}  // namespace tailback::analyzers
