// SPDX-License-Identifier: Apache-2.0
// Of several peers that do the same, one answers much later. The same is known from the port, or from requests and answers of
// like size; peers that may do different things are not compared. Or most of the time passes in waiting for one that is asked again and
// again, one question after the other.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/model/own_frame.h"
#include "analyzers/rules/call_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

using trace::CallGroup;
using trace::EndpointKind;

constexpr double kFewestTurns = 10, kFewestWaited = 3, kMuchSlower = 3;
constexpr double kLikeSize = 4;                  // times: requests and answers of peers that do the same
constexpr double kFewestAsked = 100, kMostOfWall = 0.7, kOneAtATime = 1.05;  // turns; of wall time in turns of one peer
constexpr std::size_t kFewestOthers = 2, kMostPeers = 200, kMostFindings = 3;

struct Peer {
  const EndpointTotals* totals = nullptr;
  std::string port;
  double turns = 0, waited = 0;                  // delayed acknowledgements, which are not the peer's fault, left out
  double mean = 0;                               // of the turns that were waited for; 0: hardly any was
  double waiting() const { return waited * mean; }
  double sent = 0, received = 0;                 // bytes a turn
};

Peer peer_of(const Model& model, const EndpointTotals& totals) {
  Peer peer{&totals, {}};
  const EndpointRow& row = model.recording.calls.endpoints[totals.endpoint];
  if (!totals.turns || (row.kind != EndpointKind::tcp_peer && row.kind != EndpointKind::unix_socket)) return peer;
  const TurnRow& turns = *totals.turns;
  peer.turns = static_cast<double>(turns.turns - std::min(turns.turns, turns.delayed_turns));
  if (peer.turns <= 0) return peer;
  peer.waited = peer.turns - std::min(peer.turns, static_cast<double>(turns.ready_turns));
  // How long an answer took that was ready nobody knows: of several asked at once, all but the slowest are.
  if (peer.waited >= kFewestWaited) peer.mean = static_cast<double>(turns.turn_ns - std::min(turns.turn_ns, turns.delayed_ns)) * 1e-9 / peer.waited;
  const auto colon = row.name.rfind(':');
  if (row.kind == EndpointKind::tcp_peer && colon != std::string::npos) peer.port = row.name.substr(colon + 1);
  for (const OperationTotals& operation : totals.operations) {
    const double each = static_cast<double>(operation.counts.bytes) / static_cast<double>(turns.turns);
    if (trace::group_of(operation.call) == CallGroup::output) peer.sent += each;
    if (trace::group_of(operation.call) == CallGroup::input) peer.received += each;
  }
  return peer;
}

bool like(double a, double b) { return a <= kLikeSize * b && b <= kLikeSize * a; }

bool does_the_same(const Peer& a, const Peer& b) { return (!a.port.empty() && a.port == b.port) || (like(a.sent, b.sent) && like(a.received, b.received)); }

// Median of the others' mean turns; 0 when there are too few to compare with.
double usual_turn(const std::vector<Peer>& peers, const Peer& peer) {
  std::vector<double> others;
  for (const Peer& other : peers)
    if (&other != &peer && does_the_same(peer, other)) others.push_back(other.mean);
  if (others.size() < kFewestOthers) return 0;
  const auto middle = others.begin() + static_cast<std::ptrdiff_t>(others.size() / 2);
  std::nth_element(others.begin(), middle, others.end());
  return *middle;
}

const CallSite* heaviest_of(const CallPlace& place, CallGroup group) {
  const CallSite* most = nullptr;
  for (const CallSite* site : place.sites)
    if (site->stack && trace::group_of(site->key.call) == group && (!most || site->seconds > most->seconds)) most = site;
  return most;
}

// Where it is asked and its answers are waited for; to blame is the function that does both.
CallPlace waiting_place(const Model& model, const Peer& peer) {
  const auto waits = [&](const CallSite& site) {
    const CallGroup group = trace::group_of(site.key.call);
    return site.key.object == peer.totals->endpoint && (group == CallGroup::input || group == CallGroup::output);
  };
  CallPlace all;
  for (const CallPlace& place : places_of(model, waits)) {
    if (all.culprit.function.empty()) all.culprit = place.culprit;
    all.add(place);
  }
  const CallSite *asks = heaviest_of(all, CallGroup::output), *awaits = heaviest_of(all, CallGroup::input);
  if (asks && awaits && asks->key.thread == awaits->key.thread) all.culprit = where_they_meet(model, awaits->stack, asks->stack);
  return all;
}

Gain gain_of(const Model& model, const Peer& peer, const CallPlace& place, double usual) {
  WaitSaving saving;
  saving.seconds = seconds_by_thread(place, peer.waited * (peer.mean - usual) / std::max(place.seconds, 1e-9));
  // A thread that asks several at a time, or waits in poll, may not wait for this one alone.
  const double in_calls = place.blocked_seconds / std::max(peer.waiting(), 1e-9);
  saving.low = in_calls > 0.5 ? 0.9 : 0;
  saving.high = peer.mean / (peer.mean - usual);
  saving.why = fmt::format("{:.0f} turns of {} each, less the {} that the other peers take", peer.waited, duration(peer.mean), duration(usual));
  return gain_of_waiting(model, saving);
}

Finding finding_of(const Model& model, const Peer& peer, const CallPlace& place, double usual, Gain gain) {
  const std::string name = endpoint_name(model.recording.calls.endpoints[peer.totals->endpoint]);
  const LogHistogram& latencies = peer.totals->turns->latencies;
  Finding finding;
  finding.severity = severity_by_part(gain.fraction);
  finding.gain = std::move(gain);
  finding.confidence = peer.turns >= 50 ? 0.8 : 0.6;
  finding.culprit = place.culprit;
  finding.title = fmt::format("{} answers in {}, its like in {}: {} of wall time waiting for it{}", name, duration(peer.mean), duration(usual),
                              percent(peer.waiting() / model.timeline.wall_seconds), in_function(place.culprit));
  finding.evidence = {text_evidence("peer", name), count_evidence("answers", peer.turns, "count"), count_evidence("of them waited for", peer.waited, "count"), seconds_evidence("one answer, mean", peer.mean),
                      seconds_evidence("of its like, median of their means", usual), seconds_evidence("time waiting for it", peer.waiting())};
  if (latencies.total()) finding.evidence.push_back(seconds_evidence("99th percentile", latencies.duration_quantile(0.99) * 1e-9));
  finding.stacks = blocked_stacks(model, place, 2);
  finding.advice = {fmt::format("look at {}: its load, its place in the network, what it does for each request", name),
                    fmt::format("until then ask it less: weight it down in the balancer, send a second request elsewhere after {} (hedging), and set a time limit",
                                duration(usual * kMuchSlower)),
                    "where the answers of several peers are needed, ask all of them before waiting for the first"};
  finding.verify = fmt::format("{}; an answer of {} should take about {}", record_again(model), name, duration(usual));
  return finding;
}

// More than wall time passes in turns where several questions are under way at a time.
bool is_asked_one_by_one(const Model& model, const Peer& peer) {
  const double part = peer.waiting() / model.timeline.wall_seconds;
  return !peer.port.empty() && peer.waited >= kFewestAsked && part >= kMostOfWall && part <= kOneAtATime;
}

Finding one_by_one(const Model& model, const Peer& peer) {
  CallPlace place = waiting_place(model, peer);
  const CallSite *asks = heaviest_of(place, CallGroup::output), *awaits = heaviest_of(place, CallGroup::input);
  if (asks && awaits && asks->key.thread != awaits->key.thread) place.culprit = own_frame(model, asks->stack);  // it is told the answer by the other thread
  const std::string name = endpoint_name(model.recording.calls.endpoints[peer.totals->endpoint]);
  const double part = std::min(1.0, peer.waiting() / model.timeline.wall_seconds);
  Finding finding;
  finding.severity = Severity::low;  // whether a question needs the answer before it, nobody sees from outside
  finding.confidence = 0.5;
  finding.culprit = place.culprit;
  finding.title = fmt::format("{} is asked {:.0f} times, one after the other: {} of wall time waiting for answers of {} each{}", name, peer.waited, percent(part), duration(peer.mean),
                              in_function(place.culprit));
  finding.gain.fraction = 0.5 * part;
  finding.gain.high = part * (1 - 1 / peer.waited);
  finding.gain.how = fmt::format("{:.0f} turns of {} each: two under way at a time take half of it, all at once hardly more than one; nothing where each question depends on the answer before",
                                 peer.waited, duration(peer.mean));
  finding.gain = bounded(finding.gain);
  finding.evidence = {text_evidence("peer", name), count_evidence("answers waited for", peer.waited, "count"), seconds_evidence("one answer, mean", peer.mean),
                      seconds_evidence("time waiting for it", peer.waiting()), fraction_evidence("of wall time", part)};
  finding.stacks = blocked_stacks(model, place, 2);
  finding.advice = {"send the next questions before the answer to the first is there (pipelining), or ask on several connections or threads at a time",
                    "ask for many things in one question, keep answers that are asked for again, or leave out what is not needed",
                    fmt::format("where that cannot be: look at {} and the network to it, which set the pace", name)};
  finding.verify = fmt::format("{}; the {} of waiting for {} should shrink", record_again(model), duration(peer.waiting()), name);
  return finding;
}

std::vector<Peer> all_peers(const Model& model) {
  std::vector<Peer> peers;
  for (const EndpointTotals& totals : model.waits.endpoints) {
    const Peer peer = peer_of(model, totals);
    if (peer.turns >= kFewestTurns && peers.size() < kMostPeers) peers.push_back(peer);
  }
  return peers;
}

}  // namespace

RuleResult net_slow_peer(const Model& model) {
  if (!model.waits.missing.empty()) return RuleResult::cannot(model.waits.missing);
  const std::vector<Peer> peers = all_peers(model);
  RuleResult result;
  double slowest = 0;
  for (const Peer& peer : peers) {
    const double usual = usual_turn(peers, peer);
    if (usual > 0) slowest = std::max(slowest, peer.mean / usual);
    if (result.findings.size() >= kMostFindings) break;
    if (usual <= 0 || peer.waited < kFewestTurns || peer.mean < kMuchSlower * usual) {
      if (is_asked_one_by_one(model, peer)) result.findings.push_back(one_by_one(model, peer));
      continue;
    }
    const CallPlace place = waiting_place(model, peer);
    Gain gain = gain_of(model, peer, place, usual);
    if (severity_by_part(gain.fraction) != Severity::info) result.findings.push_back(finding_of(model, peer, place, usual, std::move(gain)));
  }
  result.fine = slowest > 0 ? fmt::format("of {} peers the slowest takes {:.1f} times as long as its like", peers.size(), slowest)
                            : fmt::format("{}: too few that do the same to compare", plural(peers.size(), "peer"));
  return result;
}

}  // namespace tailback::analyzers
