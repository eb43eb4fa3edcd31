// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/calls.h"

#include "agent/capture/record_call.h"
#include "agent/capture/sampling.h"

namespace tailback::capture {

constinit std::atomic<std::uint32_t> call_epoch{0};

namespace {

StackSums* stack_of(CallSums& set, std::uint64_t object, Call call, StackId stack) {
  std::uint32_t slot = hash_of_call(object, call, stack);
  for (std::uint32_t tries = 0; tries < kCallProbes; ++tries, ++slot) {
    StackSums& sums = set.stacks[slot % CallSums::kStacks];
    if (sums.call == call && sums.object == object && sums.stack == stack) return &sums;
    if (sums.call != Call::none) continue;
    sums.object = object;
    sums.call = call;
    sums.stack = stack;
    return &sums;
  }
  return nullptr;
}

}  // namespace

void add_call_stack(CallSums& set, ThreadBlock& thread, const FinishedCall& call, std::uint64_t ns, bool blocked) {
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
  thread.calls.events.push({tick_clock.monotonic_at(call.begin), ns, call.object, call.bytes, stack, call.call});
  mark_dirty(thread.calls, kDirtyEvents);
}

StackId stack_of_call(ThreadBlock& thread) { return sampling.unwinder->walk_here(0, thread.stack, *thread.hook_cache).stack; }

void record_wake(ThreadBlock& thread, Call call, std::uint64_t object, StackId stack) {
  thread.calls.events.push({tick_clock.monotonic_at(tick_clock.now()), 0, object, 0, stack, call});
  mark_dirty(thread.calls, kDirtyEvents);
}

}  // namespace tailback::capture
