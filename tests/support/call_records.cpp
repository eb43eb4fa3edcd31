// SPDX-License-Identifier: Apache-2.0
// The part of TraceBuilder that speaks of calls: what many like calls look like in the agent's sums, second by second.
#include <algorithm>
#include <cmath>

#include "tests/support/trace_builder.h"

namespace tailback::testing {

namespace {

constexpr double kBlocked = 20e-6;  // seconds from which on a call has its stack

std::uint64_t whole(double value) { return static_cast<std::uint64_t>(std::llround(value)); }

std::string counts_in_bucket(std::size_t bucket, double count) {
  std::string coded(bucket, '\0');
  std::uint8_t bytes[trace::kMaxVarintBytes];
  const std::uint8_t* end = trace::put_varint(bytes, whole(count));
  return coded.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(end - bytes));
}

std::string latencies(double each, double count) {
  return counts_in_bucket(static_cast<std::size_t>(std::max(0.0, std::floor(std::log2(std::max(each * 1e9, 1.0))))), count);
}

std::string sizes(double bytes, double count) { return counts_in_bucket(bytes < 1 ? 0 : 1 + static_cast<std::size_t>(std::floor(std::log2(bytes))), count); }

// Calls each(end_ms, span_ms, part of the whole) for the seconds that from..to touches.
template <class Each>
void each_second(double from, double to, Each&& each) {
  for (double begin = from; begin < to - 1e-9;) {
    const double end = std::min(to, std::floor(begin + 1e-9) + 1);
    each(whole(end * 1000), std::max<std::uint64_t>(1, whole((end - begin) * 1000)), (end - begin) / (to - from));
    begin = end;
  }
}

}  // namespace

std::uint64_t TraceBuilder::endpoint(const std::string& name, EndpointSpec spec) {
  std::uint64_t& id = endpoints_[name];
  if (id) return id;
  id = endpoints_.size();
  add(trace::Endpoint{.id = id, .kind = static_cast<std::uint64_t>(spec.kind), .name = name, .flags = spec.flags, .size_bytes = spec.size_bytes});
  return id;
}

TraceBuilder& TraceBuilder::calls(const CallSpec& spec) {
  each_second(spec.from, spec.to, [&](std::uint64_t end_ms, std::uint64_t span_ms, double part) {
    const double count = spec.calls * part, ns = count * spec.each * 1e9, bytes = count * spec.bytes_each;
    const bool blocked = spec.each >= kBlocked;
    const std::string by_time = latencies(spec.each, count), by_size = sizes(spec.bytes_each, count);
    trace::CallAggregate sum{.end_ms = end_ms, .span_ms = span_ms, .thread = spec.thread, .call = static_cast<std::uint64_t>(spec.call), .object = spec.object};
    sum.calls = whole(count), sum.errors = whole(spec.errors * part), sum.empty = whole(spec.empty * part);
    sum.ns = whole(ns), sum.longest_ns = whole(spec.each * 1e9), sum.bytes = whole(bytes);
    if (blocked) sum.blocked_calls = sum.calls, sum.blocked_ns = sum.ns;
    sum.latencies = by_time, sum.sizes = by_size, sum.apart = whole(spec.apart * part);
    add(sum);
    if (!spec.stack) return;
    add(trace::CallStack{.end_ms = end_ms, .span_ms = span_ms, .thread = spec.thread, .call = sum.call, .object = spec.object, .stack = spec.stack,
                         .calls = sum.calls, .ns = sum.ns, .bytes = sum.bytes, .blocked_calls = sum.blocked_calls,
                         .blocked_ns = sum.blocked_ns, .longest_ns = sum.longest_ns, .lock = spec.lock});
  });
  return *this;
}

TraceBuilder& TraceBuilder::turns(std::uint64_t endpoint, const TurnSpec& spec) {
  each_second(spec.from, spec.to, [&](std::uint64_t end_ms, std::uint64_t span_ms, double part) {
    const std::string by_time = latencies(spec.each, spec.turns * part);
    add(trace::RequestTurns{.end_ms = end_ms, .span_ms = span_ms, .object = endpoint, .opened = whole(spec.opened * part), .closed = whole(spec.opened * part),
                            .turns = whole((spec.turns + spec.delayed) * part), .turn_ns = whole((spec.turns * spec.each + spec.first * (spec.first_each - spec.each) + spec.delayed * spec.delayed_each) * part * 1e9),
                            .turn_latencies = by_time, .delayed_turns = whole(spec.delayed * part),
                            .delayed_ns = whole(spec.delayed * spec.delayed_each * part * 1e9), .delayed_stack = spec.delayed_stack,
                            .ready_turns = whole(spec.ready * part), .first_turns = whole(spec.first * part), .first_ns = whole(spec.first * spec.first_each * part * 1e9)});
  });
  return *this;
}

}  // namespace tailback::testing
