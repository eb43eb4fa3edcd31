// SPDX-License-Identifier: Apache-2.0
// The records about pauses: what cannot be is left out, the rest kept within bounds.
#include <algorithm>
#include <limits>

#include "analyzers/model/recording_reader.h"

namespace tailback::analyzers {

namespace {

constexpr std::uint64_t kLatestTime = std::uint64_t{1} << 61;  // as for all records: later times are damage
constexpr std::size_t kMostPauses = 20'000, kMostStretches = 200'000, kMostLongCalls = 50'000;
constexpr std::uint64_t kLongNs = 10'000'000;
constexpr std::uint64_t kMost32 = std::numeric_limits<std::uint32_t>::max();

}  // namespace

void RecordingReader::operator()(const trace::PauseSeen& event) {
  if (event.end >= kLatestTime || event.begin > event.end) return ignore();
  saw(event.end);
  if (!in_window(event.end) || out_.pauses.seen.size() >= kMostPauses) return;
  out_.pauses.seen.push_back({event.begin, event.end, event.source, event.within_ns, event.process_cpu_ns, event.run_delay_ns, event.stops, event.throttled_ns,
                              event.steal_ns});
}

void RecordingReader::operator()(const trace::BusyStretch& event) {
  if (event.end >= kLatestTime || event.begin > event.end || event.thread > kMost32) return ignore();
  saw(event.end);
  if (!in_window(event.end) || out_.pauses.stretches.size() >= kMostStretches) return;
  out_.pauses.stretches.push_back({static_cast<ThreadId>(event.thread), event.begin, event.end, stack_of(event.stack), stack_of(event.outermost),
                                   stack_of(event.last_stack), event.samples, event.weight_ns, event.then_waited != 0});
}

void RecordingReader::operator()(const trace::WorldStopped& event) {
  if (event.end >= kLatestTime || event.begin > event.end || event.thread > kMost32 || event.waiter > kMost32) return ignore();
  saw(event.end);
  if (!in_window(event.end) || out_.pauses.worlds.size() >= kMostPauses) return;
  out_.pauses.worlds.push_back({event.begin, event.end, static_cast<ThreadId>(event.thread), static_cast<ThreadId>(event.waiter), event.waiters});
}

void RecordingReader::add_turns(const trace::CallAggregate& event) {
  const auto call = static_cast<trace::Call>(std::min<std::uint64_t>(event.call, 0xffff));
  if (!event.thread || !event.blocked_calls || !trace::ends_a_turn(call) || (trace::group_of(call) == trace::CallGroup::sleep && call != trace::Call::sleep_until)) return;
  const std::uint64_t end = event.end_ms * 1'000'000, begin = (event.end_ms - std::min(event.end_ms, event.span_ms)) * 1'000'000;
  const auto [at, added] = turn_rows_.emplace(static_cast<ThreadId>(event.thread), out_.pauses.turns.size());
  if (added) return out_.pauses.turns.push_back({static_cast<ThreadId>(event.thread), begin, end, event.calls, begin, event.calls});
  TurnsSpanRow& row = out_.pauses.turns[at->second];
  row.first_ns = std::min(row.first_ns, begin);
  row.turns += event.calls;
  if (end > row.last_ns) row.last_ns = end, row.last_begin_ns = begin, row.last_turns = event.calls;
  else if (end == row.last_ns) row.last_turns += event.calls;
}

void RecordingReader::add_long_calls(const trace::CallStack& event) {
  if (event.longest_ns < kLongNs || event.longest_ns >= kLatestTime || event.blocked_ns >= kLatestTime || out_.pauses.long_calls.size() >= kMostLongCalls) return;
  out_.pauses.long_calls.push_back({calls_.key_of(event.thread, event.call, event.object), stack_of(event.stack), event.end_ms * 1'000'000,
                                    event.blocked_calls, event.blocked_ns, event.longest_ns});
}

}  // namespace tailback::analyzers
