// SPDX-License-Identifier: Apache-2.0
// The records about waiting and I/O: what of them lies in the window, and ids that cannot be, before CallReader sums them up.
#include <algorithm>
#include <limits>

#include "analyzers/model/recording_reader.h"

namespace tailback::analyzers {

namespace {

constexpr std::uint64_t kLatestTime = std::uint64_t{1} << 61;  // as for all records: later times are damage
constexpr std::uint64_t kMillisecond = 1'000'000;
constexpr std::uint64_t kMost32 = std::numeric_limits<std::uint32_t>::max();

}  // namespace

bool RecordingReader::counts_interval(std::uint64_t end_ms, std::uint64_t span_ms) {
  out_.calls.seen = true;
  if (end_ms > kMost32 || span_ms > end_ms) {
    ignore();
    return false;
  }
  saw(end_ms * kMillisecond);
  return in_window((end_ms - span_ms) * kMillisecond + span_ms * kMillisecond / 2);
}

bool RecordingReader::sees_call(std::uint64_t t, std::uint64_t thread) {
  out_.calls.seen = true;
  if (t >= kLatestTime || thread > kMost32) {
    ignore();
    return false;
  }
  saw(t);
  return true;
}

void RecordingReader::operator()(const trace::CallAggregate& event) {
  if (event.thread > kMost32) return ignore();
  if (!counts_interval(event.end_ms, event.span_ms)) return;
  if (trace::is_of_loop(static_cast<trace::Call>(std::min<std::uint64_t>(event.call, 0xffff)))) return add_loop(event);
  calls_.aggregate(event);
  add_turns(event);
}

void RecordingReader::operator()(const trace::CallStack& event) {
  if (event.thread > kMost32) return ignore();
  if (!counts_interval(event.end_ms, event.span_ms)) return;
  calls_.stack(event, stack_of(event.stack));
  add_long_calls(event);
}

void RecordingReader::operator()(const trace::CallEvent& event) {
  if (sees_call(event.t, event.thread) && in_window(event.t)) calls_.event(event, stack_of(event.stack));
}

void RecordingReader::operator()(const trace::Wake& event) {
  if (sees_call(event.t, event.thread) && in_window(event.t)) calls_.wake(event, stack_of(event.stack));
}

void RecordingReader::operator()(const trace::StillBlocked& event) {
  if (sees_call(event.t, event.thread)) calls_.still_blocked(event, stack_of(event.stack));
}

void RecordingReader::operator()(const trace::RequestTurns& event) {
  if (counts_interval(event.end_ms, event.span_ms)) calls_.turns(event, stack_of(event.delayed_stack));
}

}  // namespace tailback::analyzers
