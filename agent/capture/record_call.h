// SPDX-License-Identifier: Apache-2.0
// Adding a finished call to its thread's sums: inline, since most calls do nothing else here.
#pragma once
#include <iterator>

#include "agent/capture/calls.h"
#include "agent/capture/thread.h"

namespace tailback::capture {

inline constexpr std::uint32_t kCallProbes = 8;

inline std::uint32_t hash_of_call(std::uint64_t object, Call call, StackId stack) {
  const std::uint64_t key = (object ^ std::uint64_t{stack} << 40 ^ static_cast<std::uint64_t>(call) << 20) * 0x9e3779b97f4a7c15u;
  return static_cast<std::uint32_t>(key >> 40);
}

// Of a number that is not 0; what std::bit_width makes of it is three instructions more for the 0.
inline std::uint32_t highest_bit(std::uint64_t number) { return 63 - static_cast<std::uint32_t>(__builtin_clzll(number)); }

inline std::uint32_t latency_bucket(std::uint64_t ns) {
  constexpr std::uint64_t kWithinFirst = (std::uint64_t{2} << ChannelSums::kFirstLatency) - 1;
  const std::uint32_t bucket = highest_bit(ns | kWithinFirst) - ChannelSums::kFirstLatency;
  return bucket < ChannelSums::kLatencies ? bucket : ChannelSums::kLatencies - 1;
}

inline std::uint32_t size_bucket(std::uint64_t bytes) {
  const std::uint32_t bucket = highest_bit(bytes << 1 | 1);
  return bucket < ChannelSums::kSizes && !(bytes >> 63) ? bucket : ChannelSums::kSizes - 1;
}

// From `slot` on, taking a free one; nullptr: none is left.
ChannelSums* probe_channels(CallSums& set, std::uint64_t object, Call call, std::uint32_t slot);

inline ChannelSums* channel_of(CallSums& set, std::uint64_t object, Call call) {
  const std::uint32_t slot = hash_of_call(object, call, 0);
  ChannelSums& first = set.channels.at(slot);
  if (first.call == call && first.object == object) [[likely]] return &first;
  return probe_channels(set, object, call, slot);
}

// Where a call of `ns` is counted that has no place of its own: one that blocked takes the place of what would be missed less, which is
// then counted by its kind of call alone, as the others are. nullptr: of too many kinds; that call is lost. (crowded_calls.cpp)
ChannelSums* crowded_channel(ThreadCalls& own, CallSums& set, std::uint64_t object, Call call, std::uint64_t ns);
StackSums* crowded_stack(ThreadCalls& own, CallSums& set, std::uint64_t object, Call call, StackId stack, std::uint64_t lock, std::uint64_t ns);

inline StackSums* stack_of(CallSums& set, std::uint64_t object, Call call, StackId stack, std::uint64_t lock) {
  std::uint32_t slot = hash_of_call(object ^ lock << 1, call, stack);
  for (std::uint32_t tries = 0; tries < kCallProbes; ++tries, ++slot) {
    StackSums& sums = set.stacks.at(slot);
    if (sums.call == call && sums.object == object && sums.stack == stack && sums.lock == lock) return &sums;
    if (sums.call != Call::none) continue;
    sums.object = object;
    sums.call = call;
    sums.stack = stack;
    sums.lock = lock;
    return &sums;
  }
  return nullptr;
}

inline void add(ChannelSums& into, const ChannelSums& sums) {
  into.calls += sums.calls;
  into.errors += sums.errors;
  into.empty += sums.empty;
  into.blocked_calls += sums.blocked_calls;
  into.apart += sums.apart;
  into.ns += sums.ns;
  into.blocked_ns += sums.blocked_ns;
  into.bytes += sums.bytes;
  if (sums.longest_ns > into.longest_ns) into.longest_ns = sums.longest_ns;
  for (std::uint32_t i = 0; i < ChannelSums::kLatencies; ++i) into.latencies[i] += sums.latencies[i];
  for (std::uint32_t i = 0; i < ChannelSums::kSizes; ++i) into.sizes[i] += sums.sizes[i];
}

inline void add(StackSums& into, const StackSums& sums) {
  into.calls += sums.calls;
  into.blocked_calls += sums.blocked_calls;
  into.ns += sums.ns;
  into.blocked_ns += sums.blocked_ns;
  into.bytes += sums.bytes;
  if (sums.longest_ns > into.longest_ns) into.longest_ns = sums.longest_ns;
}

// The engine clears bits; what this writes back may set one again that has nothing behind it, never lose one that has.
inline void mark_dirty(ThreadCalls& own, std::uint32_t bit) {
  const std::uint32_t dirty = own.dirty.load(std::memory_order_relaxed);
  if (!(dirty & bit)) [[unlikely]] own.dirty.store(dirty | bit, std::memory_order_relaxed);
}

// Whether this call is a random one; then its sample_weight() must be asked for.
inline bool is_sampled(ThreadCalls& own) { return own.until_sample-- == 0; }

// Whether the call just counted is the epoch's first of its kind on its object: what is done seldom has its stack as well.
inline bool is_first(const ChannelSums* sums) { return sums && sums->calls == 1; }

// For whoever comes to long turns: what held them up. Beyond the places there is room for, the last one gives way.
inline void add_to_turn(ThreadTurns& turns, Call call, std::uint64_t object, StackId stack, std::uint64_t ns) {
  std::uint32_t at = 0;
  while (at < turns.used && (turns.parts[at].stack != stack || turns.parts[at].call != call || turns.parts[at].object != object)) ++at;
  if (at == std::size(turns.parts)) {
    TurnPart& last = turns.parts[at - 1];
    if (last.ns < ns) last = {stack, call, 1, object, ns};
    return;
  }
  if (at == turns.used) turns.parts[turns.used++] = {stack, call, 0, object, 0};
  ++turns.parts[at].calls;
  turns.parts[at].ns += ns;
}

// The slow part: a call whose stack is wanted for `certain`, or the random one. The call in pieces, so that the fast part keeps it in registers.
void add_call_stack(ThreadBlock& thread, Call call, std::uint64_t object, std::uint64_t begin, std::uint64_t ns, std::uint64_t bytes, StackId stack, bool certain);

// Adds a call to the calling thread's sums. The caller holds the ticket (Scope).
[[gnu::always_inline]] inline void record_call(ThreadBlock& thread, const FinishedCall& call) {
  ThreadCalls& own = thread.calls;
  const std::uint32_t epoch = call_epoch.load(std::memory_order_relaxed);
  own.active.store(epoch + 1, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  CallSums& set = own.sets[epoch & 1];
  const std::uint64_t ns = tick_clock.to_ns(call.end - call.begin);
  const bool blocked = ns >= kBlockedNs;
  ChannelSums* sums = channel_of(set, call.object, call.call);
  if (!sums) [[unlikely]] sums = crowded_channel(own, set, call.object, call.call, ns);
  if (sums) [[likely]] {
    ++sums->calls;
    sums->errors += call.error;
    sums->empty += call.empty;
    sums->apart += call.apart;
    sums->ns += ns;
    sums->bytes += call.bytes;
    if (ns > sums->longest_ns) sums->longest_ns = ns;
    ++sums->latencies[latency_bucket(ns)];
    ++sums->sizes[size_bucket(call.bytes)];
    if (blocked) ++sums->blocked_calls, sums->blocked_ns += ns;
  }
  const bool certain = blocked || is_first(sums);
  if (certain || is_sampled(own)) [[unlikely]] add_call_stack(thread, call.call, call.object, call.begin, ns, call.bytes, call.stack, certain);
  mark_dirty(own, 1u << (epoch & 1));
  own.active.store(0, std::memory_order_release);
}

}  // namespace tailback::capture
