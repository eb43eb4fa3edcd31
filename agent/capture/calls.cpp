// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/calls.h"

#include "agent/capture/record_call.h"
#include "agent/capture/sampling.h"

namespace tailback::capture {

constinit std::atomic<std::uint32_t> call_epoch{0};
constinit DetailSpan detail_span{};

namespace {

void push_event(ThreadCalls& own, const CallEvent& event) {
  own.events_lost += !own.events.push(event);
  mark_dirty(own, kDirtyEvents);
}

}  // namespace

ChannelSums* probe_channels(CallSums& set, std::uint64_t object, Call call, std::uint32_t slot) {
  for (std::uint32_t tries = 0; tries < kCallProbes; ++tries, ++slot) {
    ChannelSums& sums = set.channels[slot % CallSums::kChannels];
    if (sums.call == call && sums.object == object) return &sums;
    if (sums.call != Call::none) continue;
    sums.object = object;
    sums.call = call;
    return &sums;
  }
  return nullptr;
}

void add_call_stack(CallSums& set, ThreadBlock& thread, FinishedCall call, std::uint64_t ns, bool blocked) {
  const StackId stack = call.stack ? call.stack : stack_of_call(thread);
  StackSums* sums = stack_of(set, call.object, call.call, stack);
  if (!sums) sums = stack_of(set, 0, call.call, 0);
  if (!sums) {
    ++thread.calls.lost;
    return;
  }
  const std::uint32_t weight = blocked ? 1 : kCallSampleMean;
  sums->calls += weight;
  sums->ns += weight * ns;
  sums->bytes += weight * call.bytes;
  if (ns > sums->longest_ns) sums->longest_ns = ns;
  if (!blocked) return;
  ++sums->blocked_calls;
  sums->blocked_ns += ns;
  thread.calls.blocked_call = call.call;
  thread.calls.blocked_stack = stack;
  thread.calls.blocked_object = call.object;
  if (detail_span.holds(call.end)) push_event(thread.calls, {tick_clock.monotonic_at(call.begin), ns, call.object, call.bytes, stack, call.call});
}

StackId stack_of_call(ThreadBlock& thread) { return sampling.unwinder->walk_here(0, thread.stack, *thread.hook_cache).stack; }

void record_wake(ThreadBlock& thread, Call call, std::uint64_t object) {
  ThreadCalls& own = thread.calls;
  const std::uint32_t epoch = call_epoch.load(std::memory_order_relaxed);
  own.active.store(epoch + 1, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  CallSums& set = own.sets[epoch & 1];
  if (ChannelSums* sums = channel_of(set, object, call)) ++sums->calls;
  else ++own.lost;
  if (is_sampled(own))
    if (StackSums* sums = stack_of(set, object, call, stack_of_call(thread))) sums->calls += kCallSampleMean;
  mark_dirty(own, 1u << (epoch & 1));
  own.active.store(0, std::memory_order_release);
  if (const std::uint64_t now = tick_clock.now(); detail_span.holds(now)) tell_wake(thread, call, object, now);
}

void tell_wake(ThreadBlock& thread, Call call, std::uint64_t object, std::uint64_t at_ticks) {
  push_event(thread.calls, {tick_clock.monotonic_at(at_ticks), 0, object, 0, stack_of_call(thread), call});
}

}  // namespace tailback::capture
