// SPDX-License-Identifier: Apache-2.0
// A handler keeps an event loop from its next wait, and descriptors that are ready wait for it to end. Nothing is said of a loop that is
// merely busy with many short handlers, or that nobody waited for.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/model/thread_load.h"
#include "analyzers/rules/call_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

constexpr std::size_t kFewestTurns = 3;     // once or twice is a start or an accident
constexpr double kFewestWaiting = 0.5;      // descriptors for each long turn
constexpr double kInIt = 0.5;               // of the long turns' time must be known to pass in the handler
constexpr double kExpected = 0.75, kLeast = 0.5;  // of a turn that each of those waits for: all of it when it was ready from the start, half at a random moment
constexpr double kDelivery = 60e-6;         // seconds that an answer takes besides its turn: two ways through the kernel and a wake-up
constexpr double kSlow = 10e-3, kVerySlow = 50e-3, kHalf = 0.5;
constexpr double kNoticed = 0.03;            // of the mean answer: below, hardly a request waited

double seconds(std::uint64_t ns) { return static_cast<double>(ns) * 1e-9; }

// Who waits for a long turn: what it left ready, and half of those that were ready with its own request.
double waiting_for(const LongTurnRow& turn) {
  return static_cast<double>(turn.ready_after) + (turn.ready > 1 ? static_cast<double>(turn.ready - 1) / 2 : 0);
}

struct Blocked {
  const EventLoop& loop;
  const LoopHandler& handler;
  double times = 0;      // all of them, told or not
  double waiting = 0;    // descriptors, mean
  double kept = 0;       // seconds that all of them waited, were each to wait for the whole turn
  double kept_by_it = 0; // of them, for the handler's part
  double lag = 0, lag_after = 0, turn = 0, turn_after = 0;  // 99th percentiles
};

Blocked measure(const EventLoop& loop, const LoopHandler& handler) {
  Blocked blocked{.loop = loop, .handler = handler};
  TurnLengths lengths(loop);
  blocked.lag = lengths.lag_quantile(0.99), blocked.turn = lengths.quantile(0.99);
  double waiting = 0;
  for (const LongTurnRow* turn : loop.long_turns) blocked.kept += loop.told * waiting_for(*turn) * seconds(turn->ns);
  for (const HandlerTurn& turn : handler.turns) {
    waiting += waiting_for(*turn.turn);
    blocked.kept_by_it += loop.told * waiting_for(*turn.turn) * turn.seconds;
    lengths.shorten(*turn.turn, seconds(turn.turn->ns) - turn.seconds);
  }
  const auto told = static_cast<double>(handler.turns.size());
  blocked.times = told * loop.told;
  blocked.waiting = waiting / told;
  blocked.lag_after = lengths.lag_quantile(0.99), blocked.turn_after = lengths.quantile(0.99);
  return blocked;
}

// Of the loop, without its long ones, mean.
double short_turn(const EventLoop& loop) {
  double in_long = 0;
  for (const LongTurnRow* turn : loop.long_turns) in_long += loop.told * seconds(turn->ns);
  return std::max(0.0, seconds(loop.row->busy_ns) - in_long) / std::max(1.0, static_cast<double>(loop.row->turns));
}

// Part of the mean answer that is waiting for the handler, when each of those that wait does so for `part` of the turn. Requests that need the
// handler themselves get their answers no sooner.
double saved(const Blocked& blocked, double part, double delivery) {
  const double others = std::max(1.0, static_cast<double>(blocked.loop.row->ready) - blocked.times);
  const double all = part * blocked.kept + others * (short_turn(blocked.loop) + delivery);
  return all > 0 ? part * blocked.kept_by_it / all : 0;
}

Gain gain_of(const Blocked& blocked) {
  Gain gain;
  gain.metric = "latency";
  gain.fraction = saved(blocked, kExpected, kDelivery);
  gain.low = saved(blocked, kLeast, 2 * kDelivery);
  gain.high = saved(blocked, 1, 0);
  gain.how = fmt::format("mean time to an answer of the loop's other requests: {:.1f} descriptors waited for each of {:.0f} long turns, between half and all of it; the other {:.0f} took a turn of {} "
                         "and what their answers take on the way", blocked.waiting, blocked.times, static_cast<double>(blocked.loop.row->ready) - blocked.times, duration(short_turn(blocked.loop)));
  return bounded(gain);
}

Severity severity_of(const Blocked& blocked, const Gain& gain) {
  const bool felt = gain.fraction >= kNoticed && blocked.lag >= kSlow && blocked.lag_after <= kHalf * blocked.lag;
  return std::max(severity_by_part(gain.fraction), !felt ? Severity::info : blocked.lag >= kVerySlow ? Severity::high : Severity::medium);
}

std::string doing(const LoopHandler& handler) {
  double all = handler.cpu;
  for (const double part : handler.blocked) all += part;
  std::vector<std::pair<double, std::string>> parts = {{handler.cpu - handler.allocating, "computing"}, {handler.allocating, "allocating"}};
  for (std::size_t cause = 0; cause < kWaitCauses; ++cause) parts.emplace_back(handler.blocked[cause], fmt::format("waiting ({})", to_string(static_cast<WaitCause>(cause))));
  std::stable_sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::string text;
  for (const auto& [time, what] : parts)
    if (time >= 0.05 * all) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", what, percent(time / all));
  return text;
}

bool computes(const LoopHandler& handler) {
  double waited = 0;
  for (const double part : handler.blocked) waited += part;
  return handler.cpu >= waited;
}

std::string loop_name(const Model& model, const EventLoop& loop) {
  return fmt::format("the event loop of {} ({})", thread_label(model, loop.row->thread), trace::name_of(loop.call));
}

std::vector<Evidence> evidence_of(const Model& model, const Blocked& blocked) {
  const EventLoop& loop = blocked.loop;
  std::vector<Evidence> evidence = {text_evidence("loop", fmt::format("{}{}", loop_name(model, loop), in_function(loop.wait ? own_frame(model, loop.wait) : Frame{}))),
                                    count_evidence("times", std::round(blocked.times), "count"),
                                    seconds_evidence("one time, mean", blocked.handler.seconds / static_cast<double>(blocked.handler.turns.size())),
                                    seconds_evidence("longest turn with it", blocked.handler.longest),
                                    count_evidence("descriptors that waited, mean", std::round(10 * blocked.waiting) / 10, "count"),
                                    text_evidence("what it was doing", doing(blocked.handler)),
                                    seconds_evidence("turn, 99th percentile", blocked.turn),
                                    seconds_evidence("turn without it, 99th percentile", blocked.turn_after),
                                    seconds_evidence("lag, 99th percentile", blocked.lag),
                                    seconds_evidence("lag without it, 99th percentile", blocked.lag_after)};
  if (loop.row->longest_late_ns >= 1'000'000) evidence.push_back(seconds_evidence("latest timer of the loop", seconds(loop.row->longest_late_ns)));
  evidence.push_back(fraction_evidence("loop busy", loop.alive > 0 ? loop.busy / loop.alive : 0));
  return evidence;
}

std::vector<std::string> advice_for(const Blocked& blocked) {
  const std::string name = blocked.handler.culprit.function.empty() ? "the handler" : blocked.handler.culprit.function;
  if (computes(blocked.handler))
    return {fmt::format("hand what {} computes to a worker thread and let it wake the loop with the result (an eventfd, uv_queue_work, asio::post)", name),
            fmt::format("or cut it into pieces of a millisecond and return to the loop between them, so that others are served: at present {:.1f} wait each time", blocked.waiting)};
  return {fmt::format("nothing that waits belongs on the loop: let a worker thread make the calls of {} that block, or use their asynchronous form, and wake the loop with the result", name),
          "where it is a lock, take it with try_lock and come back later, or hold it for less long on the other side"};
}

std::vector<StackEvidence> stacks_of(const Model& model, const LoopHandler& handler) {
  std::vector<StackEvidence> stacks;
  for (const StackWeight& weight : handler.blocked_stacks) {
    if (stacks.size() == 2) break;
    stacks.push_back({"blocked", seconds(weight.ns), "seconds", model.symbols->stack(weight.stack)});
  }
  const std::vector<StackEvidence> cpu = cpu_stacks(model, handler.cpu_stacks, 3);
  stacks.insert(computes(handler) ? stacks.begin() : stacks.end(), cpu.begin(), cpu.end());
  return stacks;
}

Finding finding_of(const Model& model, const Blocked& blocked, Gain gain) {
  const LoopHandler& handler = blocked.handler;
  const double each = handler.seconds / static_cast<double>(handler.turns.size());
  Finding finding;
  finding.severity = severity_of(blocked, gain);
  finding.gain = std::move(gain);
  finding.confidence = blocked.times >= 10 ? 0.9 : 0.75;
  finding.culprit = handler.culprit;
  finding.cpu_seconds = handler.cpu * blocked.loop.told;
  finding.title = fmt::format("{} kept {} from its next wait {:.0f} times for {} each, while {:.1f} descriptors waited", handler.culprit.function.empty() ? "a handler" : handler.culprit.function,
                              loop_name(model, blocked.loop), blocked.times, duration(each), blocked.waiting);
  finding.evidence = evidence_of(model, blocked);
  finding.stacks = stacks_of(model, handler);
  finding.advice = advice_for(blocked);
  finding.verify = fmt::format("{}; the longest turn of the loop should fall from {} to below 10 ms", record_again(model), duration(handler.longest));
  return finding;
}

bool is_blocked(const EventLoop& loop, const LoopHandler& handler, const Blocked& blocked) {
  double turns = 0;
  for (const HandlerTurn& turn : handler.turns) turns += seconds(turn.turn->ns);
  double known = handler.cpu;
  for (const double part : handler.blocked) known += part;
  return static_cast<double>(handler.turns.size()) * loop.told >= kFewestTurns && blocked.waiting >= kFewestWaiting && known >= kInIt * turns;
}

}  // namespace

RuleResult event_loop_blocked(const Model& model) {
  if (!model.event_loops.missing.empty()) return RuleResult::cannot(model.event_loops.missing);
  if (model.event_loops.loops.empty()) return {{}, {}, "no thread comes back to a wait for descriptors again and again"};
  RuleResult result;
  double longest = 0;
  for (const EventLoop& loop : model.event_loops.loops) {
    longest = std::max(longest, seconds(loop.row->longest_ns));
    for (const LoopHandler& handler : loop.handlers) {
      const Blocked blocked = measure(loop, handler);
      if (!is_blocked(loop, handler, blocked)) continue;
      Gain gain = gain_of(blocked);
      if (severity_of(blocked, gain) == Severity::info) continue;
      result.findings.push_back(finding_of(model, blocked, std::move(gain)));
    }
  }
  result.fine = fmt::format("{}, longest turn {}", plural(model.event_loops.loops.size(), "event loop"), duration(longest));
  return result;
}

}  // namespace tailback::analyzers
