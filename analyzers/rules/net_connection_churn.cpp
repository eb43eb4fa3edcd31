// SPDX-License-Identifier: Apache-2.0
// A connection is made for each request or two: kept open, it would save the handshake, the teardown and the name lookup.
// Seen from the side that connects; on the side that accepts, the cost is the clients' and cannot be measured here.
#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "analyzers/rules/call_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

using trace::Call;
using trace::EndpointKind;

constexpr double kFewestConnections = 30, kOften = 2;  // in all; a second
constexpr double kTurnsOnEach = 2.5;                   // more and the connection is kept
constexpr std::size_t kMostFindings = 3;

// Connections made by one function of the program, to one peer or several.
struct Churn {
  std::vector<std::uint64_t> peers;  // most connections first
  double opened = 0, turns = 0, turn_seconds = 0;
  CallPlace place;            // connect and close
  double lookups = 0;         // seconds in name lookups, when there is about one for each connection
  double setup = 0;           // CPU time making and configuring sockets, which are no calls that may block
  double session = 0;         // seconds in first turns that set up what others on the connection need: logging in, handshakes
  double accepting = 0;       // estimate: the first answer on a connection waits until the other side has accepted it

  double known() const { return place.seconds + lookups + setup + session; }
  double requests() const { return session > 0 ? turns - opened : turns; }
  double kept = 1;            // connections that remain
};

bool makes_connections(EndpointKind kind) { return kind == EndpointKind::tcp_peer || kind == EndpointKind::unix_socket; }

double calls_of(const EndpointTotals& totals, Call call) {
  for (const OperationTotals& operation : totals.operations)
    if (operation.call == call) return static_cast<double>(operation.counts.calls);
  return 0;
}

// CPU time whose innermost function sets up a socket.
double socket_setup(const Model& model) {
  static constexpr std::array<std::string_view, 5> kNames = {"socket", "setsockopt", "getsockname", "fcntl", "fcntl64"};
  double seconds = 0;
  for (const StackWeight& weight : model.cpu.stacks) {
    if (!weight.stack) continue;
    std::string_view name = model.symbols->function_name(model.symbols->frames(weight.stack).front().function);
    name.remove_prefix(std::min(name.find_first_not_of('_'), name.size()));
    if (name.starts_with("GI_")) name.remove_prefix(3);  // glibc's name for its own calls of a function
    if (std::find(kNames.begin(), kNames.end(), name) != kNames.end()) seconds += static_cast<double>(weight.ns) * 1e-9;
  }
  return seconds;
}

// The first turn on nearly every connection is followed by others and takes far longer than these: no request is answered by it.
double session_of(const TurnRow& turns, double opened) {
  constexpr double kNearlyEvery = 0.8, kFarLonger = 2;
  const auto first = static_cast<double>(turns.first_turns), later = static_cast<double>(turns.turns) - first;
  const double later_ns = static_cast<double>(turns.turn_ns) - static_cast<double>(turns.first_ns);
  if (first < kNearlyEvery * opened || later < kNearlyEvery * first) return 0;
  return static_cast<double>(turns.first_ns) / first >= kFarLonger * later_ns / later ? static_cast<double>(turns.first_ns) * 1e-9 : 0;
}

Churn churn_of(const Model& model, const EndpointTotals& totals) {
  Churn churn{{totals.endpoint}, 0, 0, 0, {}};
  const double connects = calls_of(totals, Call::connect);
  if (!makes_connections(model.recording.calls.endpoints[totals.endpoint].kind) || !totals.turns || connects <= 0) return churn;
  churn.opened = std::max(connects, static_cast<double>(totals.turns->opened));
  churn.turns = static_cast<double>(totals.turns->turns);
  churn.turn_seconds = static_cast<double>(totals.turns->turn_ns) * 1e-9;
  churn.session = session_of(*totals.turns, churn.opened);
  return churn;
}

bool is_churn(const Model& model, const Churn& churn) {
  return churn.opened >= kFewestConnections && churn.opened >= kOften * model.timeline.wall_seconds && churn.turns <= kTurnsOnEach * churn.opened;
}

void find_place(const Model& model, Churn& churn) {
  const auto costs = [&](const CallSite& site) { return site.key.object == churn.peers.front() && (site.key.call == Call::connect || site.key.call == Call::close); };
  for (const CallPlace& place : places_of(model, costs)) {
    if (churn.place.culprit.function.empty()) churn.place.culprit = place.culprit;
    churn.place.add(place);
  }
}

// One suggestion for each function that connects, whatever the number of peers.
void join(std::vector<Churn>& joined, Churn&& churn) {
  const auto same = [&](const Churn& other) {
    return !churn.place.culprit.function.empty() && other.place.culprit.function == churn.place.culprit.function && other.place.culprit.module == churn.place.culprit.module;
  };
  const auto known = std::find_if(joined.begin(), joined.end(), same);
  if (known == joined.end()) return joined.push_back(std::move(churn));
  known->peers.push_back(churn.peers.front());
  known->opened += churn.opened, known->turns += churn.turns, known->turn_seconds += churn.turn_seconds, known->session += churn.session;
  known->place.add(churn.place);
}

void find_cost(const Model& model, Churn& churn, double all_opened) {
  double lookups = 0, looking_up = 0;
  for (const CallRow& row : model.recording.calls.rows) {
    if (row.key.call != Call::name_lookup) continue;
    lookups += static_cast<double>(row.counts.calls), looking_up += static_cast<double>(row.counts.ns) * 1e-9;
  }
  if (lookups >= 0.5 * all_opened) churn.lookups = looking_up * churn.opened / all_opened;
  // socket, and accept on the other side, make what close removes, in one system call each. A thread that runs in short bursts gives few
  // samples of much weight: setting up is not believed to take longer than the closes. The accept, which is not seen, is taken to
  // last as long.
  double closing = 0;
  for (const CallSite* site : churn.place.sites)
    if (site->key.call == Call::close) closing += site->seconds - site->blocked_seconds;
  churn.setup = std::min(socket_setup(model) * churn.opened / all_opened, closing);
  churn.accepting = std::min(closing, 0.5 * (churn.turn_seconds - churn.session));
  churn.kept = static_cast<double>(std::max<std::size_t>(1, seconds_by_thread(churn.place).size()) * churn.peers.size());
}

Gain gain_of(const Model& model, const Churn& churn) {
  const double saved = 1 - std::min(1.0, churn.kept / churn.opened), whole = std::max(churn.known() + churn.accepting, 1e-9);
  WaitSaving saving;
  saving.seconds = seconds_by_thread(churn.place, saved * whole / std::max(churn.place.seconds, 1e-9));
  saving.low = 0.8 * churn.known() / whole;
  saving.high = (churn.known() + 0.5 * (churn.turn_seconds - churn.session) / std::max(saved, 1e-9)) / whole;
  saving.why = fmt::format("time to connect and close{}{}{}, for all but {:.0f} of {:.0f} connections, and {} that the other side is taken to need to accept them, which is not seen from here",
                           churn.session > 0 ? ", be let in" : "", churn.lookups > 0 ? ", look names up" : "", churn.setup > 0 ? " and set sockets up" : "", churn.kept, churn.opened, duration(churn.accepting));
  return gain_of_waiting(model, saving);
}

Finding finding_of(const Model& model, const Churn& churn, Gain gain) {
  std::string name = endpoint_name(model.recording.calls.endpoints[churn.peers.front()]);
  const double saved = std::max(0.0, churn.opened - churn.kept);
  if (churn.peers.size() > 1) name += fmt::format(" and {}", plural(churn.peers.size() - 1, "other peer"));
  Finding finding;
  finding.severity = severity_by_part(gain.fraction);
  finding.gain = std::move(gain);
  finding.confidence = 0.85;
  finding.culprit = churn.place.culprit;
  finding.title = fmt::format("{:.0f} connections to {} were made{} for {:.0f} requests: {} to connect{} and close", churn.opened, name,
                              in_function(churn.place.culprit), churn.requests(), duration(churn.place.seconds + churn.session), churn.session > 0 ? ", be let in" : "");
  finding.evidence = {text_evidence("peer", name), count_evidence("connections", churn.opened, "count"), count_evidence("requests on each", std::round(10 * churn.requests() / churn.opened) / 10, "count"),
                      seconds_evidence("time to connect and close", churn.place.seconds), seconds_evidence("one connection, mean", churn.place.seconds / churn.opened)};
  if (churn.session > 0) finding.evidence.push_back(seconds_evidence("time in the first turn on each, which lets in", churn.session));
  if (churn.lookups > 0) finding.evidence.push_back(seconds_evidence("time looking the name up", churn.lookups));
  if (churn.setup > 0) finding.evidence.push_back(seconds_evidence("CPU time setting sockets up", churn.setup));
  finding.stacks = blocked_stacks(model, churn.place, 2);
  finding.advice = {fmt::format("keep the connection open and send the next request on it (HTTP keep-alive, a connection pool, persistent connections of the client library): {:.0f} "
                                "connections are saved, {:.0f} remain", saved, churn.kept)};
  if (churn.lookups > 0) finding.advice.push_back("the name is looked up for each connection: keep the address as well");
  finding.verify = fmt::format("{}; connections to {} should fall from {:.0f} to about {:.0f}", record_again(model), name, churn.opened, churn.kept);
  return finding;
}

}  // namespace

RuleResult net_connection_churn(const Model& model) {
  if (!model.waits.missing.empty()) return RuleResult::cannot(model.waits.missing);
  RuleResult result;
  std::vector<Churn> churns;
  double opened = 0;
  std::size_t looked_at = 0;
  for (const EndpointTotals& totals : model.waits.endpoints) {
    Churn churn = churn_of(model, totals);
    opened += churn.opened;
    if (!is_churn(model, churn) || looked_at++ >= kMostPlaces) continue;
    find_place(model, churn);
    join(churns, std::move(churn));
  }
  for (Churn& churn : churns) {
    find_cost(model, churn, opened);
    Gain gain = gain_of(model, churn);
    if (result.findings.size() < kMostFindings && severity_by_part(gain.fraction) != Severity::info) result.findings.push_back(finding_of(model, churn, std::move(gain)));
  }
  result.fine = opened > 0 ? fmt::format("{:.0f} connections were made; they carried enough, or cost little", opened) : "no connections were made";
  return result;
}

}  // namespace tailback::analyzers
