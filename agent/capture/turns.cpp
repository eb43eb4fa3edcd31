// SPDX-License-Identifier: Apache-2.0
// Turns of event loops, from one wait's return to the next wait's beginning. The clock was read for the waits; nothing here reads it again.
#include <algorithm>
#include <iterator>

#include "agent/capture/record_call.h"

namespace tailback::capture {

namespace {

constexpr std::uint64_t kAtOnceNs = 100'000;  // a wait that did not have to wait
constexpr std::uint64_t kMillisecond = 1'000'000;

// The loop's place among those of the thread; one that was not waited in of late gives its own up.
LoopWaits& place_of(ThreadTurns& turns, const LoopWait& wait) {
  const std::uint32_t last = turns.last;
  if (turns.loops[last].loop == wait.loop && turns.loops[last].call == wait.call) [[likely]] return turns.loops[last];
  std::uint32_t at = 0;
  while (at < std::size(turns.loops) && (turns.loops[at].loop != wait.loop || turns.loops[at].call != wait.call)) ++at;
  if (at == std::size(turns.loops)) {
    at = (last + 1) % std::size(turns.loops);
    turns.loops[at] = {wait.loop, wait.call, 0, 0, 0, 0};
  }
  turns.last = at;
  turns.looping = true;
  return turns.loops[at];
}

void add(ThreadCalls& own, CallSums& set, Call call, std::uint64_t loop, std::uint64_t ns, std::uint32_t ready) {
  ChannelSums* sums = channel_of(set, loop, call);
  if (!sums) [[unlikely]] sums = crowded_channel(own, set, loop, call, std::max(ns, kBlockedNs));
  if (!sums) return;
  ++sums->calls;
  sums->ns += ns;
  sums->bytes += ready;
  if (ready == 0) ++sums->empty;
  if (ns > sums->longest_ns) sums->longest_ns = ns;
  ++sums->latencies[latency_bucket(ns)];
  ++sums->sizes[size_bucket(ready)];
}

void push(ThreadCalls& own, const CallEvent& event) {
  own.events_lost += !own.events.push(event);
  mark_dirty(own, kDirtyEvents);
}

[[gnu::noinline]] void tell_long_turn(ThreadBlock& thread, const LoopWaits& loop, std::uint64_t ns, std::uint32_t ready_after) {
  ThreadCalls& own = thread.calls;
  const std::uint64_t began = tick_clock.monotonic_at(loop.returned);
  const std::uint64_t ready = std::uint64_t{ready_after} << 32 | loop.ready;
  push(own, {began, ns, loop.loop, ready, stack_of_call(thread), loop.call, CallEventKind::turn});
  for (std::uint32_t i = own.turns.waited_in == loop.loop ? 1 : 0; i < own.turns.used; ++i) {
    const TurnPart& part = own.turns.parts[i];
    push(own, {began, part.ns, part.object, part.calls, part.stack, part.call, CallEventKind::turn_part});
  }
}

// How long a time-out had passed when its timers could be served: at once, or when the turn was over that kept the loop from them.
std::uint64_t lateness(const LoopWaits& loop, std::uint64_t begin) {
  if (loop.timeout_ms <= 0) return 0;
  const std::uint64_t served = tick_clock.to_ns((loop.ready ? begin : loop.returned) - loop.began);
  const std::uint64_t due = static_cast<std::uint64_t>(loop.timeout_ms) * kMillisecond;
  return served > due ? served - due : 0;
}

}  // namespace

void record_turn(ThreadBlock& thread, const LoopWait& wait, std::uint64_t begin, std::uint64_t end, std::uint32_t ready) {
  ThreadCalls& own = thread.calls;
  LoopWaits& loop = place_of(own.turns, wait);
  if (loop.returned) [[likely]] {
    const std::uint32_t epoch = call_epoch.load(std::memory_order_relaxed);
    own.active.store(epoch + 1, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    CallSums& set = own.sets[epoch & 1];
    const std::uint64_t ns = tick_clock.to_ns(begin - loop.returned);
    add(own, set, Call::loop_turn, wait.loop, ns, loop.ready);
    if (loop.timeout_ms > 0)
      if (const std::uint64_t late = lateness(loop, begin)) add(own, set, Call::loop_late, wait.loop, late, loop.ready);
    mark_dirty(own, 1u << (epoch & 1));
    own.active.store(0, std::memory_order_release);
    if (ns >= kLongTurnNs) [[unlikely]] tell_long_turn(thread, loop, ns, tick_clock.to_ns(end - begin) < kAtOnceNs ? ready : 0);
  }
  loop.ready = ready;
  loop.timeout_ms = wait.timeout_ms;
  loop.began = begin;
  loop.returned = end;
  own.turns.used = 0;
}

}  // namespace tailback::capture
