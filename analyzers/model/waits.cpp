// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/waits.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "analyzers/model/thread_waits.h"

namespace tailback::analyzers {

namespace {

using trace::Call;
using trace::CallGroup;
using trace::EndpointKind;

double seconds(std::uint64_t ns) { return static_cast<double>(ns) * 1e-9; }

std::string why_missing(const Recording& recording) {
  if (recording.calls.seen) return {};
  for (const auto& [name, value] : recording.options)
    if (name == "io" && (value == "off" || value == "0" || value == "no")) return "waiting and I/O were not recorded (--io off)";
  return "the dump holds no calls that may block: recorded by a version that did not look at them, or before the first one";
}

CallSite site_of(const CallKey& key, StackId stack, const CallCounts& counts) {
  return {key, stack, static_cast<double>(counts.calls), seconds(counts.ns), static_cast<double>(counts.bytes),
          static_cast<double>(counts.blocked_calls), seconds(counts.blocked_ns), seconds(counts.longest_ns),
          counts.calls > 0 ? static_cast<double>(counts.apart) / static_cast<double>(counts.calls) : 0};
}

// The exact sums of a key shared out over its places. Calls that blocked are exact by place; the others are scaled.
void share_out(const CallRow& row, const std::vector<const CallStackRow*>& places, std::vector<CallSite>& sites) {
  CallSite rest = site_of(row.key, 0, row.counts), known;
  for (const CallStackRow* place : places) {
    const CallSite part = site_of(row.key, place->stack, place->counts);
    known.calls += part.calls, known.seconds += part.seconds, known.bytes += part.bytes;
    known.blocked_calls += part.blocked_calls, known.blocked_seconds += part.blocked_seconds;
  }
  if (places.empty()) return sites.push_back(rest);
  const auto share = [&](double of_all, double mine, double all) { return all > 0 ? of_all * mine / all : of_all / static_cast<double>(places.size()); };
  for (const CallStackRow* place : places) {
    CallSite site = site_of(row.key, place->stack, place->counts);
    const double quick = rest.seconds - rest.blocked_seconds, quick_known = known.seconds - known.blocked_seconds;
    site.seconds = share(quick, site.seconds - site.blocked_seconds, quick_known) + share(rest.blocked_seconds, site.blocked_seconds, known.blocked_seconds);
    site.blocked_seconds = share(rest.blocked_seconds, site.blocked_seconds, known.blocked_seconds);
    site.blocked_calls = share(rest.blocked_calls, site.blocked_calls, known.blocked_calls);
    site.calls = share(rest.calls, site.calls, known.calls);
    site.bytes = share(rest.bytes, site.bytes, known.bytes);
    site.apart = rest.apart;
    sites.push_back(site);
  }
}

std::vector<CallSite> all_sites(const CallTables& calls) {
  std::map<CallKey, std::vector<const CallStackRow*>> places;
  for (const CallStackRow& row : calls.stacks) places[row.key].push_back(&row);
  std::vector<CallSite> sites;
  static const std::vector<const CallStackRow*> kNone;
  for (const CallRow& row : calls.rows) {
    const CallGroup group = trace::group_of(row.key.call);
    if (group == CallGroup::memory || group == CallGroup::hold) continue;  // time in which the thread ran, or waited in another call
    const auto known = places.find(row.key);
    share_out(row, known == places.end() ? kNone : known->second, sites);
  }
  for (const BlockedRow& row : calls.still_blocked) {
    const double held = seconds(row.t - row.since);
    if (held > 0) sites.push_back({row.key, row.stack, 1, held, 0, 1, held, held});
  }
  const auto order = [](const CallSite& a, const CallSite& b) { return std::tie(b.seconds, a.key, a.stack) < std::tie(a.seconds, b.key, b.stack); };
  std::sort(sites.begin(), sites.end(), order);
  return sites;
}

OperationTotals& operation_of(EndpointTotals& endpoint, Call call) {
  for (OperationTotals& operation : endpoint.operations)
    if (operation.call == call) return operation;
  endpoint.operations.push_back({call, {}, {}, {}});
  return endpoint.operations.back();
}

std::vector<EndpointTotals> all_endpoints(const CallTables& calls) {
  std::map<std::uint64_t, EndpointTotals> totals;
  for (const CallRow& row : calls.rows) {
    if (!row.key.object || !trace::works_on_endpoint(trace::group_of(row.key.call))) continue;
    EndpointTotals& endpoint = totals[row.key.object];
    endpoint.counts.add(row.counts);
    operation_of(endpoint, row.key.call).counts.add(row.counts);
  }
  for (const CallHistogramRow& row : calls.histograms) {
    const auto known = totals.find(row.key.object);
    if (known == totals.end() || !trace::works_on_endpoint(trace::group_of(row.key.call))) continue;
    OperationTotals& operation = operation_of(known->second, row.key.call);
    operation.latencies.add(row.latencies), operation.sizes.add(row.sizes);
    known->second.latencies.add(row.latencies);
  }
  for (const TurnRow& row : calls.turns)
    if (row.endpoint) totals[row.endpoint].turns = &row;
  std::vector<EndpointTotals> endpoints;
  for (auto& [id, endpoint] : totals) {
    endpoint.endpoint = id;
    std::stable_sort(endpoint.operations.begin(), endpoint.operations.end(), [](const auto& a, const auto& b) { return a.counts.ns > b.counts.ns; });
    endpoints.push_back(std::move(endpoint));
  }
  std::stable_sort(endpoints.begin(), endpoints.end(), [](const auto& a, const auto& b) { return a.counts.ns > b.counts.ns; });
  return endpoints;
}

}  // namespace

const char* to_string(WaitCause cause) {
  static constexpr std::array<const char*, kWaitCauses> names = {"disk", "network", "pipe", "device", "lock", "condition", "semaphore", "barrier",
                                                                 "join", "futex",   "sleep", "poll",  "child", "file lock", "name lookup", "other"};
  return names[static_cast<std::size_t>(cause)];
}

const char* to_string(ThreadRole role) {
  static constexpr std::array<const char*, 6> names = {"working", "held up", "idle worker", "event loop", "timer", "coordinator"};
  return names[static_cast<std::size_t>(role)];
}

bool is_answered_by_child(const Recording& recording, std::uint64_t endpoint) {
  if (endpoint >= recording.calls.endpoints.size()) return false;
  const EndpointRow& row = recording.calls.endpoints[endpoint];
  if (row.kind != trace::EndpointKind::pipe || !(row.flags & trace::kOwnPipe)) return false;
  return std::none_of(recording.calls.rows.begin(), recording.calls.rows.end(),
                      [&](const CallRow& call) { return call.key.object == endpoint && trace::group_of(call.key.call) == trace::CallGroup::output; });
}

bool is_wake(Call call) {
  return call == Call::cond_signal || call == Call::cond_broadcast || call == Call::sem_post || call == Call::futex_wake || call == Call::wake_nobody;
}

bool is_disk(EndpointKind kind) { return kind == EndpointKind::file || kind == EndpointKind::directory; }

bool is_socket(EndpointKind kind) { return kind >= EndpointKind::tcp_peer && kind <= EndpointKind::other_socket; }

WaitCause cause_of(Call call, EndpointKind kind) {
  switch (trace::group_of(call)) {
    case CallGroup::sleep: return WaitCause::sleep;
    case CallGroup::lock: return WaitCause::lock;
    case CallGroup::condition: return WaitCause::condition;
    case CallGroup::semaphore: return WaitCause::semaphore;
    case CallGroup::barrier: return WaitCause::barrier;
    case CallGroup::join: return WaitCause::join;
    case CallGroup::futex: return WaitCause::futex;
    case CallGroup::multiplex: return WaitCause::poll;
    case CallGroup::child: return WaitCause::child;
    case CallGroup::file_lock: return WaitCause::file_lock;
    case CallGroup::lookup: return WaitCause::lookup;
    case CallGroup::connection: return WaitCause::network;
    case CallGroup::flush: return WaitCause::disk;
    case CallGroup::none: case CallGroup::memory: case CallGroup::hold: return WaitCause::other;
    case CallGroup::input: case CallGroup::output: case CallGroup::copy: case CallGroup::metadata: break;
  }
  if (is_disk(kind) || (kind == EndpointKind::unknown && trace::group_of(call) == CallGroup::metadata)) return WaitCause::disk;
  if (is_socket(kind)) return WaitCause::network;
  if (kind == EndpointKind::pipe) return WaitCause::pipe;
  if (kind == EndpointKind::device || kind == EndpointKind::terminal) return WaitCause::device;
  return kind == EndpointKind::eventfd || kind == EndpointKind::timerfd || kind == EndpointKind::epoll ? WaitCause::poll : WaitCause::other;
}

double ThreadWaits::blocked_seconds() const { return std::accumulate(blocked.begin(), blocked.end(), 0.0); }
double ThreadWaits::by_design() const { return std::accumulate(designed.begin(), designed.end(), 0.0); }

Waits Waits::build(const Recording& recording, const Timeline& timeline) {
  Waits waits;
  waits.missing = why_missing(recording);
  waits.sites = all_sites(recording.calls);
  waits.endpoints = all_endpoints(recording.calls);
  for (std::size_t i = 0; i < waits.endpoints.size(); ++i) waits.endpoint_index[waits.endpoints[i].endpoint] = i;
  waits.threads = split_threads(recording, timeline, waits.sites);
  for (const ThreadWaits& thread : waits.threads) {
    for (std::size_t cause = 0; cause < kWaitCauses; ++cause) {
      waits.by_cause[cause] += thread.blocked[cause];
      waits.by_design[cause] += thread.designed[cause];
    }
  }
  return waits;
}

const EndpointTotals* Waits::of_endpoint(std::uint64_t endpoint) const {
  const auto known = endpoint_index.find(endpoint);
  return known == endpoint_index.end() ? nullptr : &endpoints[known->second];
}

const ThreadWaits* Waits::find(ThreadId thread) const {
  const auto at = std::lower_bound(threads.begin(), threads.end(), thread, [](const ThreadWaits& row, ThreadId id) { return row.thread < id; });
  return at != threads.end() && at->thread == thread ? &*at : nullptr;
}

}  // namespace tailback::analyzers
