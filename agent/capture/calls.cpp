// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/calls.h"

#include <algorithm>
#include <iterator>

#include "agent/capture/record_call.h"
#include "agent/capture/sampling.h"

namespace tailback::capture {

constinit std::atomic<std::uint32_t> call_epoch{0};
constinit DetailSpan detail_span{};
constinit WaitedFor waited_for{};

namespace {

void push_event(ThreadCalls& own, const CallEvent& event) {
  own.events_lost += !own.events.push(event);
  mark_dirty(own, kDirtyEvents);
}

// For how many calls the random one stands that is_sampled just found; also settles which one comes next, out of step with anything that
// the program does in turns. Threads that make calls all the time have stacks enough with fewer of them: what a sample weighs is known
// before the calls come that it is chosen from, so that sums stay without bias.
std::uint32_t sample_weight(ThreadCalls& own) {
  constexpr std::uint32_t kMean = 64, kMany = 64, kMeanOfMany = 512;
  const std::uint32_t weight = own.used() ? own.sample_weight : 1;  // a thread's first call is always one
  const std::uint32_t epoch = call_epoch.load(std::memory_order_relaxed);
  if (epoch != own.sample_epoch) own.sample_epoch = epoch, own.samples = 0;
  const std::uint32_t mean = ++own.samples < kMany ? kMean : kMeanOfMany;
  own.random = own.random * 1664525u + 1013904223u;
  own.sample_weight = mean;
  own.until_sample = mean / 2 - 1 + (own.random >> 16) % (mean + 1);
  return weight;
}

// An entry of a linkage table: jmp *slot(%rip), with or without endbr64 and bnd.
bool is_linkage_stub(const std::uint8_t* code) {
  if (code[0] == 0xf3 && code[1] == 0x0f && code[2] == 0x1e && code[3] == 0xfa) code += 4;
  if (code[0] == 0xf2) ++code;
  return code[0] == 0xff && code[1] == 0x25;
}

// The function that the innermost frame called, if that is not what was reached: it starts an unwind range of its own, so that its code is
// there to be read, and bytes that only look like a call do not lead anywhere.
StackId with_jump(StackId stack) {
  Unwinder& unwinder = *sampling.unwinder;
  const StackNode* innermost = unwinder.stacks().node(stack);
  if (!innermost || innermost->kind != static_cast<std::uint32_t>(NodeKind::code)) return stack;
  const std::uint64_t back = innermost->address + 1;
  constexpr std::uint64_t kCallBytes = 5, kPage = 4096;  // call rel32
  if (back % kPage < kCallBytes) return stack;
  const auto* call = reinterpret_cast<const std::uint8_t*>(back - kCallBytes);
  if (call[0] != 0xe8) return stack;
  std::int32_t distance;
  __builtin_memcpy(&distance, call + 1, sizeof distance);
  const std::uint64_t target = back + static_cast<std::uint64_t>(static_cast<std::int64_t>(distance));
  std::uint64_t start = 0, size = 0;
  if (unwinder.hidden().holds(target) || !unwinder.code_range(target, start, size) || start != target) return stack;
  if (is_linkage_stub(reinterpret_cast<const std::uint8_t*>(target))) return stack;
  const StackId jumped = unwinder.stacks().intern(stack, target);
  return jumped ? jumped : stack;
}

}  // namespace

ChannelSums* probe_channels(CallSums& set, std::uint64_t object, Call call, std::uint32_t slot) {
  for (std::uint32_t tries = 0; tries < kCallProbes; ++tries, ++slot) {
    ChannelSums& sums = set.channels.at(slot);
    if (sums.call == call && sums.object == object) return &sums;
    if (sums.call != Call::none) continue;
    sums.object = object;
    sums.call = call;
    return &sums;
  }
  return nullptr;
}

void add_call_stack(ThreadBlock& thread, Call call, std::uint64_t object, std::uint64_t begin, std::uint64_t ns, std::uint64_t bytes, StackId stack,
                    bool certain) {
  ThreadCalls& own = thread.calls;
  CallSums& set = own.sets[(own.active.load(std::memory_order_relaxed) - 1) & 1];
  const bool blocked = ns >= kBlockedNs;
  const std::uint32_t weight = certain && own.used() ? 1 : sample_weight(own);
  if (stack == 0) stack = stack_of_call(thread);
  const std::uint64_t lock = thread.locks.innermost();
  StackSums* sums = stack_of(set, object, call, stack, lock);
  if (!sums) [[unlikely]] sums = crowded_stack(own, set, object, call, stack, lock, ns);
  if (!sums) [[unlikely]] return;
  sums->calls += weight;
  sums->ns += weight * ns;
  sums->bytes += weight * bytes;
  if (ns > sums->longest_ns) sums->longest_ns = ns;
  if (!blocked) return;
  ++sums->blocked_calls;
  sums->blocked_ns += ns;
  own.blocked_call = call;
  own.blocked_stack = stack;
  own.blocked_object = object;
  if (trace::ends_a_turn(call)) ++own.waits_for_work, own.waited = begin + tick_clock.from_ns(ns);
  if (own.turns.looping) add_to_turn(own.turns, call, object, stack, ns);
  if (detail_span.holds(begin + tick_clock.from_ns(ns)) || detail_span.holds(begin)) push_event(own, {tick_clock.monotonic_at(begin), ns, object, bytes, stack, call, CallEventKind::call});
}

StackId stack_of_call(ThreadBlock& thread) {
  const StackId stack = sampling.unwinder->walk_here(0, thread.stack, *thread.hook_cache).stack;
  if (stack == 0) return 0;
  auto& known = thread.calls.jumps[stack % std::size(thread.calls.jumps)];
  if (known.stack != stack) known = {stack, with_jump(stack)};
  return known.with_jump;
}

namespace {

// At most a quarter of the places, so that the others stay for calls that wait.
ChannelSums* channel_for_nobody(ThreadCalls& own, CallSums& set, std::uint32_t epoch, std::uint64_t object) {
  constexpr std::uint32_t kMost = CallSums::kChannels / 4;
  if (epoch != own.nobody_epoch) own.nobody_epoch = epoch, own.nobody_objects = 0;
  std::uint32_t slot = hash_of_call(object, Call::wake_nobody, 0);
  for (std::uint32_t tries = 0; tries < kCallProbes; ++tries, ++slot) {
    ChannelSums& sums = set.channels.at(slot);
    if (sums.call == Call::wake_nobody && sums.object == object) return &sums;
    if (sums.call != Call::none) continue;
    if (own.nobody_objects == kMost) return nullptr;
    ++own.nobody_objects;
    sums.object = object;
    sums.call = Call::wake_nobody;
    return &sums;
  }
  return nullptr;
}

}  // namespace

// Below what hands a thread anything: wakes so close bring work all at once.
constexpr std::uint64_t kBurstNs = 64'000;

void record_wake(ThreadBlock& thread, Call call, std::uint64_t object, std::uint64_t bytes) {
  ThreadCalls& own = thread.calls;
  const std::uint32_t epoch = call_epoch.load(std::memory_order_relaxed);
  own.active.store(epoch + 1, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  CallSums& set = own.sets[epoch & 1];
  const bool to_nobody = call == Call::wake_nobody;
  const std::uint64_t now = tick_clock.now();
  const bool in_burst = own.woken == object && tick_clock.to_ns(now - own.woken_at) < kBurstNs;
  own.woken = object, own.woken_at = now;
  ChannelSums* sums = to_nobody ? channel_for_nobody(own, set, epoch, object) : channel_of(set, object, call);
  if (!sums && !to_nobody) sums = crowded_channel(own, set, object, call, 0);
  if (sums) ++sums->calls, sums->bytes += bytes, sums->empty += in_burst;
  const bool certain = is_first(sums);
  if (certain || ((sums || !to_nobody) && is_sampled(own))) {
    const std::uint32_t weight = certain && own.used() ? 1 : sample_weight(own);
    if (StackSums* stack = stack_of(set, object, call, stack_of_call(thread), thread.locks.innermost())) stack->calls += weight;
  }
  mark_dirty(own, 1u << (epoch & 1));
  own.active.store(0, std::memory_order_release);
  if (detail_span.holds(now)) tell_wake(thread, call, object, now);
}

void record_hold(ThreadBlock& thread, Call lock, std::uint64_t object, std::uint64_t begin, std::uint64_t end, std::uint32_t weight, StackId stack) {
  const Call call = trace::hold_of(lock);
  ThreadCalls& own = thread.calls;
  const std::uint32_t epoch = call_epoch.load(std::memory_order_relaxed);
  own.active.store(epoch + 1, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  CallSums& set = own.sets[epoch & 1];
  const std::uint64_t ns = tick_clock.to_ns(end - begin);
  ChannelSums* sums = channel_of(set, object, call);
  if (!sums) sums = crowded_channel(own, set, object, call, weight * ns);
  if (sums) {
    sums->calls += weight;
    sums->ns += weight * ns;
    sums->longest_ns = std::max(sums->longest_ns, ns);
    sums->latencies[latency_bucket(ns)] += weight;
  }
  if (StackSums* held = stack_of(set, object, call, stack, thread.locks.innermost())) {
    held->calls += weight;
    held->ns += weight * ns;
    held->longest_ns = std::max(held->longest_ns, ns);
  }
  mark_dirty(own, 1u << (epoch & 1));
  own.active.store(0, std::memory_order_release);
}

void tell_wake(ThreadBlock& thread, Call call, std::uint64_t object, std::uint64_t at_ticks) {
  push_event(thread.calls, {tick_clock.monotonic_at(at_ticks), 0, object, 0, stack_of_call(thread), call, CallEventKind::call});
}

}  // namespace tailback::capture
