// SPDX-License-Identifier: Apache-2.0
// The records about event loops. Sums are folded by thread and loop; long turns are kept up to a bound.
#include <algorithm>

#include "analyzers/model/recording_reader.h"

namespace tailback::analyzers {

namespace {

constexpr std::size_t kMostLoops = 20'000, kMostLongTurns = 200'000, kMostParts = 64;  // parts of one turn: the agent keeps eight
constexpr std::uint64_t kMostOfAnything = std::uint64_t{1} << 52;  // more is damage, and sums must not overflow

std::uint64_t believable(std::uint64_t value) { return std::min(value, kMostOfAnything); }
trace::Call call_of(std::uint64_t number) { return static_cast<trace::Call>(std::min<std::uint64_t>(number, 0xffff)); }

}  // namespace

void RecordingReader::add_loop(const trace::CallAggregate& event) {
  const std::pair key(static_cast<ThreadId>(event.thread), event.object);
  const auto known = loops_.find(key);
  if (event.thread == 0 || (known == loops_.end() && loops_.size() >= kMostLoops)) return void(++out_.loops.left_out);
  const std::size_t at = known == loops_.end() ? loops_.emplace(key, out_.loops.rows.size()).first->second : known->second;
  if (at == out_.loops.rows.size()) out_.loops.rows.push_back({.thread = key.first, .loop = key.second});
  LoopRow& row = out_.loops.rows[at];
  const std::uint64_t count = believable(event.calls), ns = believable(event.ns), longest = believable(event.longest_ns);
  if (call_of(event.call) == trace::Call::loop_late) {
    row.late += count, row.late_ns += ns, row.longest_late_ns = std::max(row.longest_late_ns, longest);
    return row.lateness.add_coded(event.latencies);
  }
  row.turns += count, row.busy_ns += ns, row.longest_ns = std::max(row.longest_ns, longest);
  row.ready += believable(event.bytes), row.empty += std::min(believable(event.empty), count);
  row.busy.add_coded(event.latencies);
  row.ready_each.add_coded(event.sizes);
}

void RecordingReader::operator()(const trace::LongTurn& event) {
  if (!sees_call(event.t, event.thread) || !in_window(event.t)) return;
  if (out_.loops.long_turns.size() >= kMostLongTurns) return void(++out_.loops.left_out);
  const auto thread = static_cast<ThreadId>(event.thread);
  long_turns_[{thread, event.t}] = out_.loops.long_turns.size();
  out_.loops.long_turns.push_back({event.t, believable(event.ns), thread, call_of(event.call), event.loop, stack_of(event.stack), believable(event.ready), believable(event.ready_after), {}});
}

void RecordingReader::operator()(const trace::LongTurnPart& event) {
  if (!sees_call(event.t, event.thread) || !in_window(event.t)) return;
  const auto turn = long_turns_.find({static_cast<ThreadId>(event.thread), event.t});
  if (turn == long_turns_.end()) return void(++out_.loops.left_out);
  auto& parts = out_.loops.long_turns[turn->second].parts;
  if (parts.size() >= kMostParts) return void(++out_.loops.left_out);
  const std::uint64_t object = calls_.key_of(event.thread, event.call, event.object).object;
  parts.push_back({call_of(event.call), object, believable(event.calls), believable(event.ns), stack_of(event.stack)});
}

}  // namespace tailback::analyzers
