// SPDX-License-Identifier: Apache-2.0
// The part of TraceBuilder that speaks of event loops. CPU time is that of run() or of the long turns alone.
#include <cmath>
#include <map>

#include "tests/support/trace_builder.h"

namespace tailback::testing {

namespace {

constexpr std::uint64_t kSampleNs = 5'000'000;

std::uint64_t whole(double value) { return static_cast<std::uint64_t>(std::llround(value)); }

std::string coded(const std::map<std::size_t, double>& counts) {
  std::string text;
  std::uint8_t bytes[trace::kMaxVarintBytes];
  for (const auto& [bucket, count] : counts) {
    text.append(bucket - text.size(), '\0');  // a count of one byte or, in the last bucket, of more
    const std::uint8_t* end = trace::put_varint(bytes, whole(count));
    text.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(end - bytes));
  }
  return text;
}

std::size_t bucket_of(double seconds) { return static_cast<std::size_t>(std::floor(std::log2(seconds * 1e9))); }

trace::CallAggregate sum_of(const LoopSpec& spec, trace::Call call, double calls, double each) {
  trace::CallAggregate sum{.end_ms = whole(spec.to * 1000), .span_ms = whole((spec.to - spec.from) * 1000), .thread = spec.thread, .call = static_cast<std::uint64_t>(call), .object = spec.loop};
  sum.calls = whole(calls), sum.ns = whole(calls * each * 1e9), sum.longest_ns = whole(each * 1e9);
  return sum;
}

void add_long_turn(TraceBuilder& builder, const LoopSpec& spec, std::uint64_t t) {
  const std::uint64_t ns = whole(spec.long_each * 1e9);
  builder.add(trace::LongTurn{t, ns, spec.thread, static_cast<std::uint64_t>(trace::Call::epoll_wait), spec.loop, spec.wait, whole(spec.ready), spec.ready_after});
  if (spec.long_call != trace::Call::none) {
    builder.add(trace::LongTurnPart{t, spec.thread, static_cast<std::uint64_t>(spec.long_call), 0, spec.long_stack, 1, ns});
    return;
  }
  for (std::uint64_t at = t + kSampleNs; at <= t + ns; at += kSampleNs)
    builder.add(trace::CpuSample{.t = at, .thread = spec.thread, .stack = spec.long_stack, .weight_ns = kSampleNs, .flags = 1});
}

}  // namespace

TraceBuilder& TraceBuilder::loop(const LoopSpec& spec) {
  const double life = spec.to - spec.from;
  calls({.thread = spec.thread, .call = trace::Call::epoll_wait, .stack = spec.wait, .calls = spec.turns, .each = (life - spec.turns * spec.each - spec.longs * spec.long_each) / spec.turns,
         .from = spec.from, .to = spec.to});
  for (const auto& [count, each] : {std::pair(spec.turns, spec.each), std::pair(spec.longs + spec.untold, spec.long_each)}) {
    if (count <= 0) continue;
    trace::CallAggregate sum = sum_of(spec, trace::Call::loop_turn, count, each);
    sum.bytes = whole(count * spec.ready);
    const std::string by_time = coded({{bucket_of(each), count}}), by_ready = coded({{1, std::min(count, 100.0)}, {2, 1}});
    sum.latencies = by_time, sum.sizes = by_ready;
    add(sum);
  }
  if (spec.late > 0) {
    trace::CallAggregate sum = sum_of(spec, trace::Call::loop_late, spec.late, spec.late_each);
    const std::string by_time = coded({{bucket_of(spec.late_each), spec.late}});
    sum.latencies = by_time;
    add(sum);
  }
  if (spec.longs <= 0) return *this;
  for (double i = 0; i < spec.longs; ++i) add_long_turn(*this, spec, whole((spec.from + life * i / spec.longs) * 1e9));
  if (spec.long_call == trace::Call::none) return run(spec.thread, spec.from, spec.to, spec.long_stack, {.busy = spec.longs * spec.long_each / life});
  return calls({.thread = spec.thread, .call = spec.long_call, .stack = spec.long_stack, .calls = spec.longs + spec.untold, .each = spec.long_each, .from = spec.from, .to = spec.to});
}

}  // namespace tailback::testing
