// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/call_reader.h"

#include <algorithm>
#include <limits>

namespace tailback::analyzers {

namespace {

constexpr std::size_t kMostEndpoints = 1'000'000, kMostHistograms = 50'000, kMostTurns = 50'000;  // a histogram takes half a KiB
constexpr std::uint64_t kMostOfAnything = std::uint64_t{1} << 52;  // more is damage, and sums must not overflow

constexpr std::size_t kMostSpans = 1'000'000;  // 48 MB

// Calls by which a thread waits for work, or brings it to others, or is served by others.
bool is_told_over_time(trace::CallGroup group) {
  using trace::CallGroup;
  return group == CallGroup::condition || group == CallGroup::semaphore || group == CallGroup::futex || group == CallGroup::input || group == CallGroup::connection ||
         group == CallGroup::multiplex || group == CallGroup::barrier || group == CallGroup::flush;
}

std::uint64_t believable(std::uint64_t value) { return std::min(value, kMostOfAnything); }

template <class Event>
CallCounts common_counts(const Event& event) {
  CallCounts counts;
  counts.calls = believable(event.calls);
  counts.ns = believable(event.ns);
  counts.longest_ns = believable(event.longest_ns);
  counts.blocked_calls = std::min(believable(event.blocked_calls), counts.calls);
  counts.blocked_ns = std::min(believable(event.blocked_ns), counts.ns);
  counts.bytes = believable(event.bytes);
  return counts;
}

}  // namespace

std::size_t CallReader::Hash::operator()(const StackKey& key) const {
  std::uint64_t x = (key.key.object ^ key.lock << 7) * 0x9e3779b97f4a7c15ULL;
  x ^= (std::uint64_t{key.key.thread} << 32 | key.stack) + (x >> 29);
  x *= 0xff51afd7ed558ccdULL;
  x ^= static_cast<std::uint64_t>(key.key.call) + (x >> 32);
  return x * 0xc4ceb9fe1a85ec53ULL >> 7;
}

std::uint64_t CallReader::endpoint_row(std::uint64_t id) {
  if (id == 0) return 0;
  const auto known = endpoints_.find(id);
  if (known != endpoints_.end()) return known->second;
  if (out_.endpoints.size() > kMostEndpoints) {
    ++out_.left_out;
    return 0;
  }
  endpoints_.emplace(id, out_.endpoints.size());
  out_.endpoints.emplace_back();
  return out_.endpoints.size() - 1;
}

CallKey CallReader::key_of(std::uint64_t thread, std::uint64_t call, std::uint64_t object) {
  CallKey key;
  key.thread = static_cast<ThreadId>(std::min<std::uint64_t>(thread, std::numeric_limits<ThreadId>::max()));
  key.call = static_cast<trace::Call>(std::min<std::uint64_t>(call, 0xffff));
  key.object = trace::works_on_endpoint(trace::group_of(key.call)) ? endpoint_row(object) : object;
  return key;
}

template <class Row>
Row& CallReader::row_of(std::vector<Row>& rows, Index& index, StackKey key, std::size_t most) {
  if (rows.size() >= most && !index.contains(key)) {
    ++out_.left_out;
    key.key.object = 0;
    if (!index.contains(key)) key.stack = 0, key.lock = 0;
  }
  const auto [at, added] = index.emplace(key, rows.size());
  if (added) {
    rows.emplace_back();
    if constexpr (requires { rows.back().key; }) rows.back().key = key.key;
    else rows.back().endpoint = key.key.object;
    if constexpr (requires { rows.back().stack; }) rows.back().stack = key.stack;
    if constexpr (requires { rows.back().lock; }) rows.back().lock = key.lock;
  }
  return rows[at->second];
}

void CallReader::endpoint(const trace::Endpoint& event) {
  out_.seen = true;
  const std::uint64_t row = endpoint_row(event.id);
  if (row == 0) return;
  EndpointRow& endpoint = out_.endpoints[row];
  endpoint.kind = static_cast<trace::EndpointKind>(std::min<std::uint64_t>(event.kind, 255));
  if (!event.name.empty()) endpoint.name = std::string(event.name);
  endpoint.flags |= event.flags;
  if (event.size_bytes) endpoint.size_bytes = believable(event.size_bytes);
}

void CallReader::span(const CallKey& key, const trace::CallAggregate& event, const CallCounts& counts) {
  if (!is_told_over_time(trace::group_of(key.call)) || key.thread == 0) return;
  if (out_.spans.size() >= kMostSpans) {
    ++out_.left_out;
    return;
  }
  constexpr std::uint64_t kLatest = std::numeric_limits<std::uint32_t>::max();
  out_.spans.push_back({key, static_cast<std::uint32_t>(std::min(event.end_ms, kLatest)), static_cast<std::uint32_t>(std::min(event.span_ms, kLatest)), counts.calls, counts.ns, counts.empty});
}

void CallReader::aggregate(const trace::CallAggregate& event) {
  const CallKey key = key_of(event.thread, event.call, event.object);
  CallCounts counts = common_counts(event);
  counts.errors = std::min(believable(event.errors), counts.calls);
  counts.empty = std::min(believable(event.empty), counts.calls);
  counts.apart = std::min(believable(event.apart), counts.calls);
  span(key, event, counts);
  row_of(out_.rows, rows_, {key}, most_rows_).counts.add(counts);
  const trace::CallGroup group = trace::group_of(key.call);
  const bool told_apart = trace::works_on_endpoint(group) || group == trace::CallGroup::lock || group == trace::CallGroup::hold;
  CallHistogramRow& row = row_of(out_.histograms, histograms_, {{0, key.call, told_apart ? key.object : 0}}, kMostHistograms);
  row.latencies.add_coded(event.latencies);
  row.sizes.add_coded(event.sizes);
}

void CallReader::stack(const trace::CallStack& event, StackId stack) {
  const CallKey key = key_of(event.thread, event.call, event.object);
  row_of(out_.stacks, stacks_, {key, stack, event.lock}, most_rows_).counts.add(common_counts(event));
}

void CallReader::thin_events() {
  constexpr std::uint64_t kMostStretches = std::uint64_t{1} << 32;
  while (out_.events.size() + out_.wake_events.size() >= most_events_ && out_.kept_stretches < kMostStretches) {
    out_.kept_stretches *= 2;
    std::erase_if(out_.events, [&](const CallEventRow& row) { return !out_.holds_events_of(row.t + row.ns); });
    std::erase_if(out_.wake_events, [&](const WakeEventRow& row) { return !out_.holds_events_of(row.t); });
  }
}

bool CallReader::keeps_event(std::uint64_t end) {
  if (!out_.holds_events_of(end)) return false;
  if (out_.events.size() + out_.wake_events.size() >= most_events_) thin_events();
  if (!out_.holds_events_of(end)) return false;
  if (out_.events.size() + out_.wake_events.size() < most_events_) return true;
  ++out_.events_left_out;
  return false;
}

void CallReader::event(const trace::CallEvent& event, StackId stack) {
  if (!keeps_event(event.t + believable(event.ns))) return;
  out_.events.push_back({event.t, believable(event.ns), key_of(event.thread, event.call, event.object), stack, believable(event.bytes)});
}

void CallReader::wake(const trace::Wake& event, StackId stack) {
  const CallKey key = key_of(event.thread, event.call, event.object);
  ++row_of(out_.wakes, wakes_, {key}, most_rows_).count;
  if (keeps_event(event.t)) out_.wake_events.push_back({event.t, key, stack});
}

void CallReader::still_blocked(const trace::StillBlocked& event, StackId stack) {
  const CallKey key = key_of(event.thread, event.call, event.object);
  BlockedRow& row = row_of(out_.still_blocked, blocked_, {{key.thread, trace::Call::none, 0}}, most_rows_);
  if (event.t >= row.t) row = {key, stack, std::min(event.since, event.t), event.t};
}

void CallReader::turns(const trace::RequestTurns& event, StackId delayed_stack) {
  TurnRow& row = row_of(out_.turns, turns_, {{0, trace::Call::none, endpoint_row(event.object)}}, kMostTurns);
  row.opened += believable(event.opened);
  row.closed += believable(event.closed);
  row.turns += believable(event.turns) + believable(event.ready_turns);
  row.ready_turns += believable(event.ready_turns);
  row.turn_ns += believable(event.turn_ns);
  row.delayed_turns += std::min(believable(event.delayed_turns), believable(event.turns));
  row.delayed_ns += std::min(believable(event.delayed_ns), believable(event.turn_ns));
  row.first_turns += std::min(believable(event.first_turns), believable(event.turns));
  row.first_ns += std::min(believable(event.first_ns), believable(event.turn_ns));
  if (delayed_stack) row.delayed_stack = delayed_stack;
  row.latencies.add_coded(event.turn_latencies);
}

}  // namespace tailback::analyzers
